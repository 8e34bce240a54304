#include "tensor/kernels/copy.h"

#include "tensor/device/parallel_size.h"

namespace terrace {
namespace {

template <class Word>
void copy_words(Word* to, const Word* from, const LoopPlan<2>& plan) {
  const int64_t outer = plan.outer(), inner = plan.inner();
  const int64_t to_step = plan.strides[0][plan.ndim - 1], from_step = plan.strides[1][plan.ndim - 1];
  // A single long loop is cut into pieces, so that all threads have work.
  constexpr int64_t kPiece = 16384;
  const int64_t pieces = outer == 1 ? (inner + kPiece - 1) / kPiece : 1;
  const int64_t length = outer == 1 ? kPiece : inner;
#pragma omp parallel for schedule(static) if (outer * inner > kMinParallelElements)
  for (int64_t row = 0; row < outer * pieces; ++row) {
    int64_t at[2] = {row * length * to_step, row * length * from_step};
    int64_t n = inner;
    if (outer > 1) {
      plan.offsets(row, at);
    } else {
      n = inner - row * length < length ? inner - row * length : length;
    }
    Word* y = to + at[0];
    const Word* x = from + at[1];
    if (to_step == 1 && from_step == 1) {
      for (int64_t i = 0; i < n; ++i) { y[i] = x[i]; }
    } else if (to_step == 1 && from_step == 0) {
      const Word value = *x;
      for (int64_t i = 0; i < n; ++i) { y[i] = value; }
    } else {
      for (int64_t i = 0; i < n; ++i) { y[i * to_step] = x[i * from_step]; }
    }
  }
}

void copy_strided(void* to, const void* from, const LoopPlan<2>& plan, int64_t bytes) {
  visit_word(bytes, [&](auto word) {
    copy_words(static_cast<decltype(word)*>(to), static_cast<const decltype(word)*>(from), plan);
  });
}

template <class Word>
void fill_words(void* to, uint64_t bits, int64_t count) {
  Word* words = static_cast<Word*>(to);
  const Word word = static_cast<Word>(bits);
#pragma omp parallel for simd schedule(static) if (parallel : count > kMinParallelElements)
  for (int64_t i = 0; i < count; ++i) { words[i] = word; }
}

void fill(void* to, uint64_t bits, int64_t count, int64_t bytes) {
  visit_word(bytes, [&](auto word) { fill_words<decltype(word)>(to, bits, count); });
}

template <class From, class To>
void convert_elements(const From* from, To* to, int64_t count) {
#pragma omp parallel for schedule(static) if (count > kMinParallelElements)
  for (int64_t i = 0; i < count; ++i) { to[i] = static_cast<To>(from[i]); }
}

struct RegisterConversion {
  template <class From, class To>
  void operator()() const {
    convert<From, To>.set(TERRACE_COLUMN, &convert_elements<From, To>);
  }
};

TERRACE_REGISTER(strided_copy, copy_strided);
TERRACE_REGISTER(fill_elements, fill);
TERRACE_REGISTER_BY(for_each_conversion(RegisterConversion{}));

}  // namespace
}  // namespace terrace
