// Pooling over windows of an image, as torch.nn.functional.{avg_pool2d, max_pool2d, adaptive_avg_pool2d}.
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

/// x (B,C,H,W) -> (B, C, (H+2pad-kernel)/stride+1, (W+2pad-kernel)/stride+1): the mean of each window, whose divisor is
/// kernel^2 or, with CountPad::kExclude, the number of its positions inside the image. f32, bf16, f64. Saves nothing.
/// Throws ShapeError, DTypeError, ConfigError (options).
Variable avg_pool2d(const Variable& x, const Pool2dOptions& options, CountPad count_pad = CountPad::kInclude);

/// The largest element of each window; the padding never wins. NaN is larger than everything. The gradient goes to the
/// first of the largest in row-major order (to the last NaN, as in PyTorch). Saves their positions (i64).
Variable max_pool2d(const Variable& x, const Pool2dOptions& options);

struct Size2d {
  int64_t height = 1, width = 1;
};

/// Mean over the windows [floor(i*H/h), ceil((i+1)*H/h)): area interpolation under its PyTorch name.
Variable adaptive_avg_pool2d(const Variable& x, const Size2d& output);

}  // namespace terrace
