// Many tensors a launch: their pointers and constants travel as the kernel's parameter, of which a launch takes 4 KiB.
#include "tensor/kernels/adamw.h"

#include "cuda/kernel.h"
#include "tensor/math.h"

namespace terrace {
namespace {

constexpr int kThreads = 256;
constexpr int kTensors = 56;

template <class T>
struct Batch {
  AdamWTensor<T> tensors[kTensors];
};
static_assert(sizeof(Batch<float>) + sizeof(AdamWConstants) <= 4096);

/// blockIdx.y: the tensor.
template <class T>
__global__ void __launch_bounds__(kThreads) update(const __grid_constant__ Batch<T> batch, AdamWConstants c) {
  const AdamWTensor<T>& t = batch.tensors[blockIdx.y];
  const T grad_scale = static_cast<T>(c.grad_scale), take1 = static_cast<T>(1 - c.beta1);
  const T beta2 = static_cast<T>(c.beta2), take2 = static_cast<T>(1 - c.beta2), eps = static_cast<T>(c.eps);
  const T keep = static_cast<T>(t.keep), step_size = static_cast<T>(t.step_size), inv_root = static_cast<T>(t.inv_root);
  const int64_t stride = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < t.count; i += stride) {
    const T g = t.grad[i] * grad_scale;
    const T m = t.exp_avg[i] + take1 * (g - t.exp_avg[i]);
    const T v = beta2 * t.exp_avg_sq[i] + take2 * g * g;
    t.exp_avg[i] = m;
    t.exp_avg_sq[i] = v;
    const T p = keep * t.param[i] - step_size * (m / (math::sqrt(v) * inv_root + eps));
    t.param[i] = p;
    if (t.copy) t.copy[i] = BFloat16(static_cast<float>(p));
  }
}

template <class T>
void step(const AdamWTensor<T>* tensors, int64_t tensor_count, AdamWConstants constants) {
  for (int64_t first = 0; first < tensor_count; first += kTensors) {
    const int64_t n = tensor_count - first < kTensors ? tensor_count - first : kTensors;
    Batch<T> batch{};
    int64_t longest = 0;
    for (int64_t i = 0; i < n; ++i) {
      batch.tensors[i] = tensors[first + i];
      if (longest < tensors[first + i].count) longest = tensors[first + i].count;
    }
    const dim3 blocks(static_cast<unsigned>(cuda::grid_stride_blocks(longest, kThreads)), static_cast<unsigned>(n));
    cuda::launch("adamw_step", update<T>, cuda::Grid(blocks, dim3(kThreads)), batch, constants);
  }
}

TERRACE_REGISTER(adamw_step<float>, step<float>);
TERRACE_REGISTER(adamw_step<double>, step<double>);

}  // namespace
}  // namespace terrace
