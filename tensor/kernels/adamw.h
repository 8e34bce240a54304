// The optimizer's step over many tensors at once: the norm of all gradients, then the fused AdamW update, one pass over
// parameter, gradient and both moments. What changes from step to step lies in memory of the device - constants of
// every tensor, the norm - so that nothing waits for the host, and a recorded step can be replayed
// (tensor/device/device_graph.h).
//
// Tensors are cut into chunks of kAdamWChunk elements, numbered through all tensors: each is the work of one block.
#pragma once

#include "tensor/base/dtype.h"
#include "tensor/base/host_device.h"
#include "tensor/device/kernel.h"

namespace terrace {

inline constexpr int64_t kAdamWChunk = 16384;

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
  int64_t first_chunk;  // the number of its first chunk
  double keep;          // 1 - lr wd
  double step_size;     // lr / (1 - beta1^t)
  double inv_root;      // 1 / sqrt(1 - beta2^t)
};

template <class T>
struct AdamWTable {
  const AdamWTensor<T>* tensors;  // in memory of the device, by first_chunk
  int64_t tensor_count;
  int64_t chunks;
};

struct AdamWConstants {
  double beta1, beta2, eps;
};

/// In memory of the device.
struct GradientNorm {
  double norm;   // of all gradients as one vector
  double scale;  // what clipping multiplies each of them by
};

/// min(1, max_norm / (norm + 1e-6)); NaN for a norm of NaN.
TERRACE_HD inline double clip_coefficient(double norm, double max_norm) {
  const double coefficient = max_norm / (norm + 1e-6);
  return coefficient > 1 ? 1 : coefficient;
}

/// scale = clip_coefficient(); 1 for a max_norm of 0.
TERRACE_HD inline GradientNorm clipped_to(double norm, double max_norm) {
  return {norm, max_norm == 0 ? 1 : clip_coefficient(norm, max_norm)};
}

/// The elements [begin, end) of one tensor that a chunk covers.
template <class T>
struct AdamWRange {
  const AdamWTensor<T>* tensor;
  int64_t begin, end;
};
template <class T>
TERRACE_HD AdamWRange<T> range_of(const AdamWTable<T>& table, int64_t chunk) {
  // The last tensor whose first chunk is not beyond `chunk`: an empty tensor shares its first chunk with the next one.
  int64_t low = 0, high = table.tensor_count - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (table.tensors[middle].first_chunk <= chunk) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  const AdamWTensor<T>& t = table.tensors[low];
  const int64_t begin = (chunk - t.first_chunk) * kAdamWChunk, end = begin + kAdamWChunk;
  return {&t, begin, end < t.count ? end : t.count};
}

/// parts[c] = sum of the squares of chunk c's gradients, in f64, in an order that the chunk's extent decides.
template <class T>
inline constinit Kernel<void(AdamWTable<T> table, double* parts)> gradient_squares{"gradient_squares"};

/// clipped_to() of the root of the sum of the parts.
inline constinit Kernel<void(const double* parts, int64_t count, double max_norm, GradientNorm* result)> gradient_norm{
    "gradient_norm"};

/// Updates param, exp_avg, exp_avg_sq and copy of every tensor in place, by gradients times norm->scale; where
/// norm->norm is not finite nothing is changed. Elementwise, so independent of the thread count.
template <class T>
inline constinit Kernel<void(AdamWTable<T> table, AdamWConstants constants, const GradientNorm* norm)> adamw_step{
    "adamw_step"};

}  // namespace terrace
