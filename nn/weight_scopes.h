// How layers make their weights on this thread while one of these lives.
#pragma once

#include "tensor/base/dtype.h"

namespace terrace {

/// The matrices of Linear layers are made in f32 or bf16; biases, tables and all other layers stay in f32. A layer with
/// bf16 weights takes f32 and gives f32, products are summed in f32 (tensor/matmul.h,
/// linear); it can only run forward. For sampling: half the
/// memory, half the reading, without an f32 copy at any time. Throws DTypeError for another type.
class LinearWeightsIn {
 public:
  explicit LinearWeightsIn(DType dtype);
  ~LinearWeightsIn();
  LinearWeightsIn(const LinearWeightsIn&) = delete;
  LinearWeightsIn& operator=(const LinearWeightsIn&) = delete;

 private:
  DType previous_;
};

/// The initialisers of nn/init.h draw nothing: for a model whose every weight is about to be read from a file. What
/// they would have drawn stays as it was made, zero.
class WithoutInitialValues {
 public:
  WithoutInitialValues();
  ~WithoutInitialValues();
  WithoutInitialValues(const WithoutInitialValues&) = delete;
  WithoutInitialValues& operator=(const WithoutInitialValues&) = delete;

 private:
  bool previous_;
};

/// What the scopes ask for on this thread.
DType linear_weight_type();
bool draws_initial_values();

}  // namespace terrace
