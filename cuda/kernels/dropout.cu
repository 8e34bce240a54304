// The mask is never stored: Philox is counter-based, so that a draw is a function of its index alone, and backward
// draws the same numbers again, as the CPU would. A thread has four elements, as many as a block of Philox has draws.
#include "tensor/kernels/dropout.h"

#include "cuda/device/elementwise.h"
#include "tensor/base/philox.h"

namespace terrace {
namespace {

constexpr int kDraws = 4;

template <class T>
struct DropElements {
  using A = Accumulator<T>;
  const T* x;
  T* y;
  int64_t count;
  DrawRange draws;
  float threshold;
  A kept;

  template <int>
  __device__ void run(int64_t i) const {
    const uint64_t block = draws.first / kDraws + static_cast<uint64_t>(i);
    const DrawRange from = draws.resolved();
    const auto words = draw_block(from.seed, from.stream, block);
    const auto begin =
        static_cast<int64_t>(block * kDraws - draws.first);  // negative where the block begins before element 0
#pragma unroll
    for (int k = 0; k < kDraws; ++k) {
      const int64_t at = begin + k;
      if (at < 0 || at >= count) { continue; }
      const bool stays = static_cast<float>(to_unit(words[static_cast<size_t>(k)])) >= threshold;
      y[at] = static_cast<T>(static_cast<A>(x[at]) * (stays ? kept : A(0)));
    }
  }
};

struct Draw {
  float* y;
  DrawRange draws;
  template <int>
  __device__ void run(int64_t i) const {
    const DrawRange from = draws.resolved();
    y[i] = static_cast<float>(uniform_draw(from.seed, from.stream, from.first + static_cast<uint64_t>(i)));
  }
};

struct Replace {
  const int64_t* x;
  int64_t* y;
  DrawRange draws;
  double p;
  int64_t replacement;
  template <int>
  __device__ void run(int64_t i) const {
    const DrawRange from = draws.resolved();
    y[i] = uniform_draw(from.seed, from.stream, from.first + static_cast<uint64_t>(i)) < p ? replacement : x[i];
  }
};

template <class T>
struct DropRows {
  using A = Accumulator<T>;
  const T* x;
  const float* draws;
  T* y;
  int64_t cols;
  float threshold;
  A kept;

  template <int N>
  __device__ void run(int64_t first) const {
    const auto in = cuda::load_pack<N>(x + first);
    cuda::Pack<T, N> out;
    const A factor = draws[first / cols] >= threshold ? kept : A(0);  // a pack lies within a row
#pragma unroll
    for (int k = 0; k < N; ++k) { out.v[k] = static_cast<T>(static_cast<A>(in.v[k]) * factor); }
    cuda::store_pack(y + first, out);
  }
};

template <class T>
void apply(const T* x, T* y, int64_t count, DrawRange draws, double p, double factor) {
  if (count == 0) { return; }
  const uint64_t end = draws.first + static_cast<uint64_t>(count);
  const auto blocks = static_cast<int64_t>((end + kDraws - 1) / kDraws - draws.first / kDraws);
  cuda::launch_each("dropout", blocks,
                    DropElements<T>{x, y, count, draws, static_cast<float>(p), static_cast<Accumulator<T>>(factor)});
}

template <class T>
void apply_rows(const T* x, const float* draws, T* y, int64_t rows, int64_t cols, double p, double factor) {
  constexpr int kN = cuda::kPackOf<T>;
  cuda::launch_packs<kN>("drop_path", rows * cols, cols % kN == 0 && cuda::are_pack_aligned(x, y),
                         DropRows<T>{x, draws, y, cols, static_cast<float>(p), static_cast<Accumulator<T>>(factor)});
}

void draw(float* y, int64_t count, DrawRange draws) { cuda::launch_each("rand", count, Draw{y, draws}); }

void replace(const int64_t* x, int64_t* y, int64_t count, DrawRange draws, double p, int64_t replacement) {
  cuda::launch_each("replace_indices", count, Replace{x, y, draws, p, replacement});
}

TERRACE_REGISTER(uniform_draws, draw);
TERRACE_REGISTER(replace_indices, replace);
TERRACE_REGISTER_FLOATS(dropout_apply, apply);
TERRACE_REGISTER_FLOATS(drop_path_apply, apply_rows);

}  // namespace
}  // namespace terrace
