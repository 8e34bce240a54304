#include "tensor/kernels/adamw.h"

#include <omp.h>

namespace terrace {
namespace {

constexpr int64_t kGrain = 4096;  // elements: below this a second thread costs more than it does

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }

template <bool copies, class T>
void update(const AdamWTensor<T>& t, const AdamWConstants& c, int64_t begin, int64_t end) {
  T* __restrict param = t.param;
  const T* __restrict grad = t.grad;
  T* __restrict exp_avg = t.exp_avg;
  T* __restrict exp_avg_sq = t.exp_avg_sq;
  BFloat16* __restrict copy = t.copy;
  const T grad_scale = static_cast<T>(c.grad_scale), take1 = static_cast<T>(1 - c.beta1);
  const T beta2 = static_cast<T>(c.beta2), take2 = static_cast<T>(1 - c.beta2), eps = static_cast<T>(c.eps);
  const T keep = static_cast<T>(t.keep), step_size = static_cast<T>(t.step_size), inv_root = static_cast<T>(t.inv_root);
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const T g = grad[i] * grad_scale;
    const T m = exp_avg[i] + take1 * (g - exp_avg[i]);
    const T v = beta2 * exp_avg_sq[i] + take2 * g * g;
    exp_avg[i] = m;
    exp_avg_sq[i] = v;
    const T p = keep * param[i] - step_size * (m / (root(v) * inv_root + eps));
    param[i] = p;
    if constexpr (copies) copy[i] = BFloat16(static_cast<float>(p));
  }
}

/// The tensors laid end to end are cut into one stretch per thread.
template <class T>
void step(const AdamWTensor<T>* tensors, int64_t tensor_count, AdamWConstants constants) {
  int64_t total = 0;
  for (int64_t i = 0; i < tensor_count; ++i) total += tensors[i].count;
#pragma omp parallel if (total > kGrain)
  {
    const int64_t share = (total + omp_get_num_threads() - 1) / omp_get_num_threads();
    const int64_t begin = share * omp_get_thread_num();
    const int64_t end = begin + share < total ? begin + share : total;
    int64_t at = 0;
    for (int64_t i = 0; i < tensor_count && at < end; at += tensors[i].count, ++i) {
      const int64_t from = begin > at ? begin - at : 0;
      const int64_t to = end - at < tensors[i].count ? end - at : tensors[i].count;
      if (from >= to) continue;
      if (tensors[i].copy != nullptr) {
        update<true>(tensors[i], constants, from, to);
      } else {
        update<false>(tensors[i], constants, from, to);
      }
    }
  }
}

TERRACE_REGISTER(adamw_step<float>, step<float>);
TERRACE_REGISTER(adamw_step<double>, step<double>);

}  // namespace
}  // namespace terrace
