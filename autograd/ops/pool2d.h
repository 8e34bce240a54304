// Pooling over windows of an image.
#pragma once

#include "autograd/variable.h"

namespace terrace {

struct Pool2dOptions {
  int64_t kernel = 2;  // rows and columns of the window
  int64_t stride = 2;
  int64_t pad = 0;  // on every side; at most kernel / 2
};

/// Whether the positions of a window that lie in the padding count in its mean.
enum class CountPad : bool { kExclude = false, kInclude = true };

/// The mean of each window.
///
///   y = sum over the window of x / n;   dx = sum over the windows that hold x of dy / n
///
/// Shapes: x (B, C, H, W) -> (B, C, (H+2pad-kernel)/stride+1, (W+2pad-kernel)/stride+1).
/// Arguments: n is kernel^2 or, with CountPad::kExclude, the number of the window's positions inside the image.
/// Saves: nothing.
/// Errors: ShapeError unless x has four dimensions and where the window does not fit into the padded image; ConfigError
///   for a kernel or stride below 1 and for a pad outside [0, kernel / 2]; DTypeError unless f32, bf16 or f64.
/// Numerics: sums in f32 (f64 for f64).
/// Source: torch.nn.functional.avg_pool2d.
Variable avg_pool2d(const Variable& x, const Pool2dOptions& options, CountPad count_pad = CountPad::kInclude);

/// The largest element of each window.
///
///   y = max over the window of x;   dx = sum of dy over the windows whose largest element x is
///
/// Shapes, errors: as for avg_pool2d.
/// Saves: the positions of the largest elements (i64).
/// Numerics: the padding never wins, NaN is larger than everything. The gradient goes to the first of equal elements in
///   row-major order (to the last NaN, as in PyTorch).
/// Source: torch.nn.functional.max_pool2d.
Variable max_pool2d(const Variable& x, const Pool2dOptions& options);

struct Size2d {
  int64_t height = 1, width = 1;
};

/// The mean over windows that cover the image evenly, [floor(i*H/h), ceil((i+1)*H/h)) in rows and likewise in columns:
/// interpolate() with Interpolation::kArea, whose card says the rest, under its PyTorch name.
///
/// Shapes: x (B, C, H, W) -> (B, C, output.height, output.width).
/// Source: torch.nn.functional.adaptive_avg_pool2d.
Variable adaptive_avg_pool2d(const Variable& x, const Size2d& output);

}  // namespace terrace
