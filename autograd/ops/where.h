// Elementwise choice between two tensors.
#pragma once

#include "autograd/variable.h"

namespace terrace {

/// Takes each element from one of two tensors, as a condition says.
///
///   y = condition ? a : b;   da = condition ? dy : 0;   db = condition ? 0 : dy
///
/// Shapes: condition, a and b broadcast; the result has the broadcast shape. Gradients are summed over what was
///   broadcast.
/// Arguments: `condition` is bool or u8, where every nonzero value is true.
/// Saves: condition.
/// Errors: ShapeError where the shapes do not broadcast, DTypeError for another type of the condition or unless a and b
///   are f32, bf16 or f64 alike.
/// Numerics: elements are copied, so what is not chosen (NaN, infinities) has no influence in either direction.
/// Source: torch.where.
Variable where(const Tensor& condition, const Variable& a, const Variable& b);

}  // namespace terrace
