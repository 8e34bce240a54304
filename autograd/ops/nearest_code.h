// The nearest entry of a codebook for each vector.
#pragma once

#include "tensor/tensor.h"

namespace terrace {

enum class CodeDistance : uint8_t { kEuclidean, kCosine };

/// For each row of x the index of the nearest row of codes.
///
///   Euclidean: y_n = argmin_v |x_n|^2 + |codes_v|^2 - 2 x_n . codes_v
///   cosine:    y_n = argmax_v u(x_n) . u(codes_v),  u(z) = z / max(|z|, 1e-12)        no gradient
///
/// Shapes: x (N, C), codes (V, C) -> (N), i64.
/// Errors: ShapeError, also for V = 0 with N > 0; DTypeError unless x and codes are f32 or f64 alike.
/// Numerics: the terms are added in the order written; the lowest index among equals. The CPU works in chunks of rows
///   and a GPU keeps no products, so that the memory used does not grow with N.
/// Source: VAR's VectorQuantizer2.
Tensor nearest_code(const Tensor& x, const Tensor& codes, CodeDistance distance = CodeDistance::kEuclidean);

}  // namespace terrace
