// 2-D convolution (cross-correlation, as torch.nn.functional.conv2d).
//
//   y[b,o,i,j] = bias[o] + sum_{c,u,v} weight[o,c,u,v] * x[b,c, i*stride+u-top, j*stride+v-left]     (x is 0 outside)
//   dx[b,c,h,w] = sum over the (o,u,v,i,j) that read x[b,c,h,w] of weight[o,c,u,v] * dy[b,o,i,j]
//   dweight[o,c,u,v] = sum_{b,i,j} dy[b,o,i,j] * x[b,c, i*stride+u-top, j*stride+v-left]
//   dbias[o] = sum_{b,i,j} dy[b,o,i,j]
#pragma once

#include "autograd/ops/padding.h"
#include "autograd/variable.h"

namespace terrace {

struct Conv2dOptions {
  int64_t stride = 1;  // in both directions
  Padding2d pad;
};

/// x (B,C,H,W), weight (O,C,kh,kw), bias (O) or {} -> (B, O, (H+top+bottom-kh)/stride+1, (W+left+right-kw)/stride+1).
/// f32, bf16 and f64, all arguments of one type. Saves x and weight.
/// Throws ShapeError (extents, a kernel larger than the padded image), DTypeError, ConfigError (stride < 1, pad < 0).
/// Numerics: f32 accumulation (f64 for f64; on the CPU bf16 is converted to f32 and back); the same thread count gives
/// the same bits. What computes it is said in tensor/kernels/conv2d.h.
Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias, const Conv2dOptions& options = {});

}  // namespace terrace
