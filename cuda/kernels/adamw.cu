// A block has a chunk of one tensor, so that no block is idle however much the tensors' extents differ.
#include "tensor/kernels/adamw.h"

#include "cuda/device/collectives.h"
#include "tensor/base/math.h"

namespace terrace {
namespace {

constexpr int kThreads = 256;

/// Calls body.run<N>(i) for the packs of a range, run<1>(i) for what is behind the last.
template <int N, class T, class Body>
__device__ void for_range(const AdamWRange<T>& range, bool aligned, const Body& body) {
  int64_t rest = range.begin;
  if (aligned) {
    rest += (range.end - range.begin) / N * N;
    for (int64_t i = range.begin + threadIdx.x * N; i < rest; i += kThreads * N) { body.template run<N>(i); }
  }
  for (int64_t i = rest + threadIdx.x; i < range.end; i += kThreads) { body.template run<1>(i); }
}

__device__ inline bool on_packs(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

template <class T>
struct Update {
  AdamWTensor<T> t;
  T grad_scale, one_minus_beta1, beta2, one_minus_beta2, eps, keep, step_size, inv_root;

  template <int N>
  __device__ void run(int64_t first) const {
    auto param = cuda::load_pack<N>(t.param + first);
    const auto grad = cuda::load_pack<N>(t.grad + first);
    auto exp_avg = cuda::load_pack<N>(t.exp_avg + first), exp_avg_sq = cuda::load_pack<N>(t.exp_avg_sq + first);
    cuda::Pack<BFloat16, N> copy;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const T g = grad.v[k] * grad_scale;
      const T m = exp_avg.v[k] + one_minus_beta1 * (g - exp_avg.v[k]);
      const T v = beta2 * exp_avg_sq.v[k] + one_minus_beta2 * g * g;
      exp_avg.v[k] = m;
      exp_avg_sq.v[k] = v;
      param.v[k] = keep * param.v[k] - step_size * (m / (math::sqrt(v) * inv_root + eps));
      copy.v[k] = BFloat16(static_cast<float>(param.v[k]));
    }
    cuda::store_pack(t.param + first, param);
    cuda::store_pack(t.exp_avg + first, exp_avg);
    cuda::store_pack(t.exp_avg_sq + first, exp_avg_sq);
    if (t.copy) { cuda::store_pack(t.copy + first, copy); }
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    update_chunks(AdamWTable<T> table, AdamWConstants c, const GradientNorm* norm) {
  if (!(norm->norm - norm->norm == 0)) {
    return;  // not finite
  }
  const AdamWRange<T> range = range_of(table, blockIdx.x);
  const AdamWTensor<T>& t = *range.tensor;
  const Update<T> body{t,
                       static_cast<T>(norm->scale),
                       static_cast<T>(1 - c.beta1),
                       static_cast<T>(c.beta2),
                       static_cast<T>(1 - c.beta2),
                       static_cast<T>(c.eps),
                       static_cast<T>(t.keep),
                       static_cast<T>(t.step_size),
                       static_cast<T>(t.inv_root)};
  const bool aligned =
      on_packs(t.param) && on_packs(t.grad) && on_packs(t.exp_avg) && on_packs(t.exp_avg_sq) && on_packs(t.copy);
  for_range<cuda::kPackOf<T>>(range, aligned, body);
}

template <class T>
__global__ void __launch_bounds__(kThreads) square_chunks(AdamWTable<T> table, double* parts) {
  const AdamWRange<T> range = range_of(table, blockIdx.x);
  double sum = 0;
  for (int64_t i = range.begin + threadIdx.x; i < range.end; i += kThreads) {
    const auto g = static_cast<double>(range.tensor->grad[i]);
    sum += g * g;
  }
  sum = cuda::block_sum<kThreads>(sum);
  if (threadIdx.x == 0) { parts[blockIdx.x] = sum; }
}

__global__ void __launch_bounds__(kThreads)
    combine_parts(const double* parts, int64_t count, double max_norm, GradientNorm* result) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) { sum += parts[i]; }
  sum = cuda::block_sum<kThreads>(sum);
  if (threadIdx.x == 0) { *result = clipped_to(math::sqrt(sum), max_norm); }
}

template <class T>
void step(AdamWTable<T> table, AdamWConstants constants, const GradientNorm* norm) {
  cuda::launch("adamw_step", update_chunks<T>, cuda::Grid(table.chunks, kThreads), table, constants, norm);
}
template <class T>
void squares(AdamWTable<T> table, double* parts) {
  cuda::launch("gradient_squares", square_chunks<T>, cuda::Grid(table.chunks, kThreads), table, parts);
}
void norm_of(const double* parts, int64_t count, double max_norm, GradientNorm* result) {
  cuda::launch("gradient_norm", combine_parts, cuda::Grid(1, kThreads), parts, count, max_norm, result);
}

TERRACE_REGISTER(adamw_step<float>, step<float>);
TERRACE_REGISTER(adamw_step<double>, step<double>);
TERRACE_REGISTER(gradient_squares<float>, squares<float>);
TERRACE_REGISTER(gradient_squares<double>, squares<double>);
TERRACE_REGISTER(gradient_norm, norm_of);

}  // namespace
}  // namespace terrace
