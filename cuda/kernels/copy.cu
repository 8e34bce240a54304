#include "tensor/kernels/copy.h"

#include "cuda/device/elementwise.h"

namespace terrace {
namespace {

using cuda::Pack;

template <class Word>
struct CopyWord {
  Word* to;
  const Word* from;
  __device__ void operator()(const int64_t (&at)[2]) const { to[at[0]] = from[at[1]]; }
  template <int N>
  __device__ void run(int64_t first) const {
    cuda::store_pack(to + first, cuda::load_pack<N>(from + first));
  }
};

template <class Word>
void copy_words(void* to, const void* from, const LoopPlan<2>& plan) {
  const CopyWord<Word> body{static_cast<Word*>(to), static_cast<const Word*>(from)};
  if (!plan.contiguous()) { return cuda::launch_plan("strided_copy", plan, body); }
  cuda::launch_packs<cuda::kPackOf<Word>>("strided_copy", plan.inner(), cuda::are_pack_aligned(body.to, body.from),
                                          body);
}

void copy_strided(void* to, const void* from, const LoopPlan<2>& plan, int64_t bytes) {
  visit_word(bytes, [&](auto word) { copy_words<decltype(word)>(to, from, plan); });
}

template <class Word>
struct FillWord {
  Word* to;
  Word word;
  template <int N>
  __device__ void run(int64_t first) const {
    Pack<Word, N> pack;
#pragma unroll
    for (int i = 0; i < N; ++i) { pack.v[i] = word; }
    cuda::store_pack(to + first, pack);
  }
};

template <class Word>
void fill_words(void* to, uint64_t bits, int64_t count) {
  const FillWord<Word> body{static_cast<Word*>(to), static_cast<Word>(bits)};
  cuda::launch_packs<cuda::kPackOf<Word>>("fill_", count, cuda::are_pack_aligned(body.to), body);
}

void fill(void* to, uint64_t bits, int64_t count, int64_t bytes) {
  visit_word(bytes, [&](auto word) { fill_words<decltype(word)>(to, bits, count); });
}

// Float16's own conversions are for the CPU; a GPU has an instruction for each.
template <class T>
__device__ T widened(T x) {
  return x;
}
__device__ float widened(Float16 x) {
#ifdef __CUDA_ARCH__
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(x.bits));
  return wide;
#else
  return x;
#endif
}
template <class To, class From>
__device__ To converted(From x) {
#ifdef __CUDA_ARCH__
  if constexpr (std::is_same_v<To, Float16>) {
    To half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half.bits) : "f"(static_cast<float>(x)));
    return half;
  } else {
    return static_cast<To>(x);
  }
#else
  return static_cast<To>(x);
#endif
}

template <class From, class To>
struct ConvertElement {
  const From* from;
  To* to;
  template <int N>
  __device__ void run(int64_t first) const {
#pragma unroll
    for (int i = 0; i < N; ++i) { to[first + i] = converted<To>(widened(from[first + i])); }
  }
};

template <class From, class To>
void convert_elements(const From* from, To* to, int64_t count) {
  cuda::launch_each("convert", count, ConvertElement<From, To>{from, to});
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
