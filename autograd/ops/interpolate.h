// Resampling of images.
#pragma once

#include <ostream>

#include "autograd/variable.h"

namespace terrace {

enum class Interpolation : uint8_t { kArea, kBicubic, kBilinear, kNearest };
const char* name_of(Interpolation mode);  // "area"
inline std::ostream& operator<<(std::ostream& out, Interpolation mode) { return out << name_of(mode); }

/// Resamples images to another height and width.
///
///   y = R x C^T;   dx = R^T dy C
///
/// Every mode is linear and separable: R (height, H) and C (width, W) have few entries in each row. Row i of R:
///
///   kArea      1/n at the n positions [floor(i*H/h), ceil((i+1)*H/h))
///   kBilinear  2 taps around the source coordinate (i+0.5)*H/h - 0.5, clamped below at 0
///   kBicubic   4 taps of Keys' kernel with a = -0.75 around (i+0.5)*H/h - 0.5; beyond the border those at the border
///   kNearest   1 tap at floor(i*H/h)
///
/// Shapes: x (B, C, H, W) -> (B, C, height, width).
/// Saves: nothing.
/// Errors: ShapeError unless x has four dimensions, and for an extent of rows or columns that is 0; DTypeError unless
///   f32, bf16 or f64.
/// Numerics: weights are computed in f64 and applied in f32 (f64 for f64), rows after columns.
/// Source: torch.nn.functional.interpolate with align_corners=False and antialias=False.
Variable interpolate(const Variable& x, int64_t height, int64_t width, Interpolation mode);

/// The same without a graph.
Tensor interpolate(const Tensor& x, int64_t height, int64_t width, Interpolation mode);

}  // namespace terrace
