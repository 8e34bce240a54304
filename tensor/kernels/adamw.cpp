#include "tensor/kernels/adamw.h"

namespace terrace {
namespace {

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }

template <bool copies, class T>
void update(const AdamWRange<T>& range, const AdamWConstants& c, double factor) {
  const AdamWTensor<T>& t = *range.tensor;
  T* __restrict param = t.param;
  const T* __restrict grad = t.grad;
  T* __restrict exp_avg = t.exp_avg;
  T* __restrict exp_avg_sq = t.exp_avg_sq;
  BFloat16* __restrict copy = t.copy;
  const T grad_scale = static_cast<T>(factor), take1 = static_cast<T>(1 - c.beta1);
  const T beta2 = static_cast<T>(c.beta2), take2 = static_cast<T>(1 - c.beta2), eps = static_cast<T>(c.eps);
  const T keep = static_cast<T>(t.keep), step_size = static_cast<T>(t.step_size), inv_root = static_cast<T>(t.inv_root);
#pragma omp simd
  for (int64_t i = range.begin; i < range.end; ++i) {
    const T g = grad[i] * grad_scale;
    const T m = exp_avg[i] + take1 * (g - exp_avg[i]);
    const T v = beta2 * exp_avg_sq[i] + take2 * g * g;
    exp_avg[i] = m;
    exp_avg_sq[i] = v;
    const T p = keep * param[i] - step_size * (m / (root(v) * inv_root + eps));
    param[i] = p;
    if constexpr (copies) { copy[i] = BFloat16(static_cast<float>(p)); }
  }
}

template <class T>
void step(AdamWTable<T> table, AdamWConstants constants, const GradientNorm* norm) {
  if (!__builtin_isfinite(norm->norm)) { return; }
#pragma omp parallel for schedule(static) if (table.chunks > 1)
  for (int64_t chunk = 0; chunk < table.chunks; ++chunk) {
    const AdamWRange<T> range = range_of(table, chunk);
    if (range.tensor->copy != nullptr) {
      update<true>(range, constants, norm->scale);
    } else {
      update<false>(range, constants, norm->scale);
    }
  }
}

template <class T>
void squares(AdamWTable<T> table, double* parts) {
#pragma omp parallel for schedule(static) if (table.chunks > 1)
  for (int64_t chunk = 0; chunk < table.chunks; ++chunk) {
    const AdamWRange<T> range = range_of(table, chunk);
    const T* grad = range.tensor->grad;
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = range.begin; i < range.end; ++i) {
      sum += static_cast<double>(grad[i]) * static_cast<double>(grad[i]);
    }
    parts[chunk] = sum;
  }
}

void norm_of(const double* parts, int64_t count, double max_norm, GradientNorm* result) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) { sum += parts[i]; }
  *result = clipped_to(root(sum), max_norm);
}

TERRACE_REGISTER(adamw_step<float>, step<float>);
TERRACE_REGISTER(adamw_step<double>, step<double>);
TERRACE_REGISTER(gradient_squares<float>, squares<float>);
TERRACE_REGISTER(gradient_squares<double>, squares<double>);
TERRACE_REGISTER(gradient_norm, norm_of);

}  // namespace
}  // namespace terrace
