// By the tiles of cuda/device/tiles.h, with the epilogue in the same pass.
#include "cuda/kernels/product.h"

#include "cuda/device/elementwise.h"
#include "cuda/device/this_device.h"
#include "cuda/device/tiles.h"
#include "tensor/base/formulas.h"

namespace terrace {
namespace {

/// Applies the epilogue to the element (m, n) of the product; `at` = m N + n is its index in packed matrices.
template <class T, class R>
struct Finish {
  Epilogue epilogue;
  const R* bias;
  T* pre_activation;
  __device__ Accumulator<T> operator()(Accumulator<T> value, int64_t n, int64_t at) const {
    if (epilogue == Epilogue::kGeluBackward) {
      return value * GeluTanh{}.df(static_cast<Accumulator<T>>(pre_activation[at]), Accumulator<T>(0));
    }
    if (epilogue == Epilogue::kNone) { return value; }
    if (bias) { value += static_cast<Accumulator<T>>(bias[n]); }
    if (epilogue == Epilogue::kBias) { return value; }
    if (pre_activation) { pre_activation[at] = static_cast<T>(value); }
    return GeluTanh{}.f(value);
  }
};

/// Element (i, k) of an operand from row (column) `first` of `count` on; its stored rows are `stride` elements apart.
template <class T>
__device__ auto operand(const T* x, cuda::Contiguous contiguous, int64_t stride, int64_t first, int64_t count,
                        int64_t K) {
  return cuda::tile_operand(contiguous, [=](int i, int64_t k) {
    const int64_t at = first + i;
    if (at >= count || k >= K) { return Accumulator<T>(0); }
    return static_cast<Accumulator<T>>(x[contiguous == cuda::Contiguous::kAlongK ? at * stride + k : k * stride + at]);
  });
}

/// blockIdx.x: tile of columns, tile of rows, matrix, the first the fastest.
template <class T, class R>
__global__ void __launch_bounds__(cuda::kTileThreads) multiply_tiles(Product<T, R> p) {
  using A = Accumulator<T>;
  using cuda::kTile, cuda::Contiguous;
  const GemmShape& s = p.shape;
  const int64_t columns = (s.N + kTile - 1) / kTile, rows = (s.M + kTile - 1) / kTile;
  const int64_t first_n = blockIdx.x % columns * kTile, first_m = blockIdx.x / columns % rows * kTile;
  const int64_t matrix = blockIdx.x / (columns * rows);
  const Contiguous contiguous_a = s.transpose_a == Transpose::kYes ? Contiguous::kAcrossK : Contiguous::kAlongK;
  const Contiguous contiguous_b = s.transpose_b == Transpose::kYes ? Contiguous::kAlongK : Contiguous::kAcrossK;
  const Finish<T, R> finish{p.epilogue, p.bias, p.pre_activation};
  cuda::multiply_tile<A>(s.K, operand(p.a + matrix * p.step_a, contiguous_a, s.lda, first_m, s.M, s.K),
                         operand(p.b + matrix * p.step_b, contiguous_b, s.ldb, first_n, s.N, s.K),
                         [&](int row, int column, A sum) {
                           const int64_t m = first_m + row, n = first_n + column;
                           if (m >= s.M || n >= s.N) { return; }
                           R& out = p.c[matrix * p.step_c + m * s.ldc + n];
                           if (p.write == Write::kAccumulate) { sum += static_cast<A>(out); }
                           out = static_cast<R>(finish(sum, n, m * s.N + n));
                         });
}

template <class T, class R>
struct FinishStored {
  Finish<T, R> finish;
  R* c;
  int64_t columns;
  template <int N>
  __device__ void run(int64_t first) const {
#pragma unroll
    for (int64_t i = first; i < first + N; ++i) {
      c[i] = static_cast<R>(finish(static_cast<Accumulator<T>>(c[i]), i % columns, i));
    }
  }
};

}  // namespace

template <class T, class R>
void cuda::tiled_product(const Product<T, R>& p) {
  const GemmShape& s = p.shape;
  const int64_t blocks = cuda::blocks_for(s.N, cuda::kTile) * cuda::blocks_for(s.M, cuda::kTile) * p.batch;
  cuda::launch("matmul", multiply_tiles<T, R>, cuda::Grid(blocks, cuda::kTileThreads), p);
  sum_up(cuda::kThisDevice, p);
}

template <class T, class R>
void cuda::finish_product(const Product<T, R>& p) {
  if (p.epilogue != Epilogue::kNone) {
    const FinishStored<T, R> body{{p.epilogue, p.bias, p.pre_activation}, p.c, p.shape.N};
    cuda::launch_each("matmul epilogue", p.shape.M * p.shape.N, body);
  }
  sum_up(cuda::kThisDevice, p);
}

#define TERRACE_PRODUCT(T, R)                                    \
  template void cuda::tiled_product<T, R>(const Product<T, R>&); \
  template void cuda::finish_product<T, R>(const Product<T, R>&)
TERRACE_PRODUCT(float, float);
TERRACE_PRODUCT(double, double);
TERRACE_PRODUCT(BFloat16, BFloat16);
TERRACE_PRODUCT(BFloat16, float);

#if defined(TERRACE_CUDA_HOST)
namespace {

TERRACE_REGISTER_FLOATS(matrix_product, cuda::tiled_product);
TERRACE_REGISTER_BY(matrix_product<BFloat16, float>.set(TERRACE_COLUMN, &cuda::tiled_product<BFloat16, float>));

}  // namespace
#endif

}  // namespace terrace
