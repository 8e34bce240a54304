// Convolution of images.
#pragma once

#include "autograd/ops/padding.h"
#include "autograd/variable.h"

namespace terrace {

struct Conv2dOptions {
  int64_t stride = 1;  // in both directions
  Padding2d pad;
};

/// 2-D convolution (cross-correlation), with zeros outside the image.
///
///   y[b,o,i,j] = bias[o] + sum_{c,u,v} weight[o,c,u,v] * x[b,c, i*stride+u-top, j*stride+v-left]
///   dx[b,c,h,w] = sum over the (o,u,v,i,j) that read x[b,c,h,w] of weight[o,c,u,v] * dy[b,o,i,j]
///   dweight[o,c,u,v] = sum_{b,i,j} dy[b,o,i,j] * x[b,c, i*stride+u-top, j*stride+v-left]
///   dbias[o] = sum_{b,i,j} dy[b,o,i,j]
///
/// Shapes: x (B, C, H, W), weight (O, C, kh, kw), bias (O) or undefined
///   -> (B, O, (H+top+bottom-kh)/stride+1, (W+left+right-kw)/stride+1).
/// Arguments: `options.stride` in both directions, `options.pad` in rows and columns of zeros beyond each edge.
/// Saves: x where weight needs a gradient, weight where x does.
/// Errors: ShapeError for extents that do not agree or are 0 and for a kernel larger than the padded image; DTypeError
///   unless all are f32, bf16 or f64 alike; ConfigError for a stride below 1 or a negative padding.
/// Numerics: f32 accumulation (f64 for f64; on the CPU bf16 is converted to f32 and back); the same number of threads
///   gives the same bits. tensor/convolution/conv2d.cpp chooses the algorithm.
/// Source: torch.nn.functional.conv2d.
Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias, const Conv2dOptions& options = {});

}  // namespace terrace
