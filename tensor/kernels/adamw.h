// The fused AdamW step: one pass over parameter, gradient and both moments of all tensors.
#pragma once

#include "tensor/dtype.h"
#include "tensor/kernel.h"

namespace terrace {

/// One tensor and its constants: what nn/optim.h's formula has, folded so that the inner loop holds no power. Where
/// `copy` is not null the new values are stored there too, rounded to bf16.
template <class T>
struct AdamWTensor {
  T* param;
  const T* grad;
  T* exp_avg;
  T* exp_avg_sq;
  BFloat16* copy;
  int64_t count;
  double keep;       // 1 - lr wd
  double step_size;  // lr / (1 - beta1^t)
  double inv_root;   // 1 / sqrt(1 - beta2^t)
};

struct AdamWConstants {
  double beta1, beta2, eps, grad_scale;
};

/// Updates param, exp_avg, exp_avg_sq and copy of every tensor in place. Elementwise, so independent of the thread
/// count.
template <class T>
inline constinit Kernel<void(const AdamWTensor<T>* tensors, int64_t tensor_count, AdamWConstants constants)> adamw_step{
    "adamw_step"};

}  // namespace terrace
