// Resampling of images, as torch.nn.functional.interpolate with align_corners=False and antialias=False.
//
// Every mode is linear and separable: y = R x C^T with a row matrix R (h,H) and a column matrix C (w,W), each row of
// which has few entries:
//   kArea      1/n over the n positions [floor(i*H/h), ceil((i+1)*H/h))
//   kBilinear  2 taps around the source coordinate (i+0.5)*H/h - 0.5, clamped below at 0
//   kBicubic   4 taps of Keys' kernel with a = -0.75 around (i+0.5)*H/h - 0.5, positions beyond the border clamped to
//   it kNearest   1 tap at floor(i*H/h)
// The gradient is R^T dy C.
#pragma once

#include <ostream>

#include "autograd/variable.h"

namespace terrace {

enum class Interpolation : uint8_t { kArea, kBicubic, kBilinear, kNearest };
const char* name_of(Interpolation mode);  // "area"
inline std::ostream& operator<<(std::ostream& out, Interpolation mode) { return out << name_of(mode); }

/// x (B,C,H,W) -> (B,C,height,width). f32, bf16, f64. Saves nothing. Weights are computed in f64 and applied in f32
/// (f64 for f64), rows after columns. Throws ShapeError (x not 4-dimensional, an extent that is 0), DTypeError.
Variable interpolate(const Variable& x, int64_t height, int64_t width, Interpolation mode);

/// The same without a graph.
Tensor interpolate(const Tensor& x, int64_t height, int64_t width, Interpolation mode);

}  // namespace terrace
