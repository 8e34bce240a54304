// Cross-entropy of rows of logits with class indices; formulas in autograd/ops/cross_entropy.h.
#pragma once

#include "tensor/base/dtype.h"
#include "tensor/device/kernel.h"

namespace terrace {

/// logits (rows, cols), targets (rows) within [0, cols), loss (rows). The op checks targets that lie on the CPU. On
/// another device the check would wait for the device, so its kernel gives a loss of NaN for a target outside instead.
/// `stats` (rows, 2) receives each row's maximum and the logarithm of its sum of exp(x - maximum). Their sum is the
/// log-sum-exp; they are stored as two numbers so that a large common offset of the logits costs no accuracy.
template <class T>
inline constinit Kernel<void(const T* logits, const int64_t* targets, Accumulator<T>* loss, Accumulator<T>* stats,
                             int64_t rows, int64_t cols, double smoothing)>
    cross_entropy_forward{"cross_entropy"};

/// Overwrites dlogits (rows, cols).
template <class T>
inline constinit Kernel<void(const T* logits, const int64_t* targets, const Accumulator<T>* stats,
                             const Accumulator<T>* dloss, T* dlogits, int64_t rows, int64_t cols, double smoothing)>
    cross_entropy_backward{"cross_entropy backward"};

}  // namespace terrace
