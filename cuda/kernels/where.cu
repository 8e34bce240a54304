#include "tensor/kernels/where.h"

#include "cuda/device/elementwise.h"

namespace terrace {
namespace {

using cuda::Pack;

template <class T>
struct Select {
  const uint8_t* condition;
  const T* a;
  const T* b;
  T* y;
  template <int N>
  __device__ void run(int64_t first) const {
    const auto mask = cuda::load_pack<N>(condition + first);
    Pack<T, N> yes{}, no{}, out;
    if (a != nullptr) { yes = cuda::load_pack<N>(a + first); }
    if (b != nullptr) { no = cuda::load_pack<N>(b + first); }
#pragma unroll
    for (int k = 0; k < N; ++k) { out.v[k] = mask.v[k] != 0 ? yes.v[k] : no.v[k]; }
    cuda::store_pack(y + first, out);
  }
};

template <class T>
void select(int64_t count, const uint8_t* condition, const T* a, const T* b, T* y) {
  cuda::launch_packs<cuda::kPackOf<T>>("where", count, cuda::are_pack_aligned(condition, a, b, y),
                                       Select<T>{condition, a, b, y});
}

TERRACE_REGISTER_FLOATS(where_select, select);
TERRACE_REGISTER(where_select<int64_t>, select<int64_t>);

}  // namespace
}  // namespace terrace
