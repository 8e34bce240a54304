// Batch normalisation with fixed statistics, as networks are evaluated.
#pragma once

#include "autograd/variable.h"

namespace terrace {

/// Normalises each channel by statistics gathered in training.
///
///   y = (x - running_mean_c) * r_c * weight_c + bias_c,  r_c = 1 / sqrt(running_var_c + eps)
///   dx = dy * r_c * weight_c;  dweight_c = sum dy * (x - running_mean_c) * r_c;  dbias_c = sum dy
///
/// Shapes: x (N, C, ...); running_mean, running_var (C); weight (C) or undefined (ones), bias (C) or undefined (zeros).
/// Saves: x, weight and the statistics.
/// Errors: ShapeError for fewer than two dimensions or a parameter that is not (C); DTypeError unless all are f32, bf16
///   or f64 alike.
/// Numerics: the channel's factor and offset are computed in f32 (f64 for f64). Sums in an order fixed by the shape.
/// Source: torch.nn.functional.batch_norm with training=False.
Variable batch_norm_eval(const Variable& x, const Tensor& running_mean, const Tensor& running_var,
                         const Variable& weight, const Variable& bias, double eps);

}  // namespace terrace
