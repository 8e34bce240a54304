#include "autograd/ops/rows.h"

namespace terrace {

Rows::Rows(const Tensor& x, const char* op) {
  if (x.ndim() == 0) {
    throw ShapeError(cat(op, ": needs at least one dimension, got the scalar ", x.describe(), "; reshape it to (1)"));
  }
  for (int64_t d = 0; d + 1 < x.ndim(); ++d) { rows *= x.shape()[d]; }
  cols = x.shape().back();
}

DType accumulator_dtype(DType dtype) { return dtype == DType::kF64 ? DType::kF64 : DType::kF32; }

Tensor channel_parameter(const Tensor& parameter, int64_t channels, const Tensor& x, const char* op,
                         const char* argument) {
  if (!parameter.defined()) { return {}; }
  check_one_device(op, {{"x", x}, {argument, parameter}});
  if (parameter.shape() != Shape{channels}) {
    throw ShapeError(cat(op, ": ", argument, " must be (C)=", Shape{channels}, ", got ", parameter.shape(), "; x is ",
                         x.describe()));
  }
  if (parameter.dtype() != x.dtype()) {
    throw DTypeError(cat(op, ": ", argument, " must be ", x.dtype(), " as x is, got ", parameter.dtype(),
                         "; convert one of them with to()"));
  }
  return parameter.contiguous();
}

}  // namespace terrace
