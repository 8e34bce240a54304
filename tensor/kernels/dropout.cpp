#include "tensor/kernels/dropout.h"

#include "tensor/base/philox.h"
#include "tensor/kernels/rows.h"

namespace terrace {
namespace {

void draw(float* y, int64_t count, DrawRange range) {
  const DrawRange draws = range.resolved();
#pragma omp parallel for schedule(static) if (count > kMinParallelElements)
  for (int64_t i = 0; i < count; ++i) {
    y[i] = static_cast<float>(uniform_draw(draws.seed, draws.stream, draws.first + static_cast<uint64_t>(i)));
  }
}

void replace(const int64_t* x, int64_t* y, int64_t count, DrawRange range, double p, int64_t replacement) {
  const DrawRange draws = range.resolved();
  for (int64_t i = 0; i < count; ++i) {
    const bool replaced = uniform_draw(draws.seed, draws.stream, draws.first + static_cast<uint64_t>(i)) < p;
    y[i] = replaced ? replacement : x[i];
  }
}

template <class T>
void apply(const T* x, T* y, int64_t count, DrawRange range, double p, double factor) {
  const DrawRange draws = range.resolved();
  using A = Accumulator<T>;
  const float threshold = static_cast<float>(p);
  const A kept = static_cast<A>(factor);
  const uint64_t begin = draws.first, end = begin + static_cast<uint64_t>(count);
  const auto first_block = static_cast<int64_t>(begin / 4), last_block = static_cast<int64_t>((end + 3) / 4);
#pragma omp parallel for schedule(static) if (count > kMinParallelElements)
  for (int64_t block = first_block; block < last_block; ++block) {
    const auto words = draw_block(draws.seed, draws.stream, static_cast<uint64_t>(block));
    for (uint64_t k = 0; k < 4; ++k) {
      const uint64_t index = static_cast<uint64_t>(block) * 4 + k;
      if (index < begin || index >= end) { continue; }
      const bool stays = static_cast<float>(to_unit(words[k])) >= threshold;
      y[index - begin] = static_cast<T>(static_cast<A>(x[index - begin]) * (stays ? kept : A(0)));
    }
  }
}

template <class T>
void apply_rows(const T* x, const float* draws, T* y, int64_t rows, int64_t cols, double p, double factor) {
  using A = Accumulator<T>;
  const float threshold = static_cast<float>(p);
  const bool stream = should_stream(y, rows, cols);
#pragma omp parallel if (rows * cols > kMinParallelElements)
  {
#pragma omp for schedule(static) nowait
    for (int64_t r = 0; r < rows; ++r) {
      const A kept = draws[r] >= threshold ? static_cast<A>(factor) : A(0);
      const T* in = x + r * cols;
      write_row(y + r * cols, cols, stream, [&](int64_t i) { return static_cast<A>(in[i]) * kept; });
    }
    stream_fence(stream);
  }
}

TERRACE_REGISTER(uniform_draws, draw);
TERRACE_REGISTER(replace_indices, replace);
TERRACE_REGISTER_FLOATS(dropout_apply, apply);
TERRACE_REGISTER_FLOATS(drop_path_apply, apply_rows);

}  // namespace
}  // namespace terrace
