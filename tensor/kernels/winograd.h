// 3x3 convolutions of stride 1 by Winograd's algorithm F(4x4, 3x3): a tile of 4x4 results takes 36 multiplications for
// each pair of channels instead of 144. tensor/convolution/conv2d.cpp chooses where it is used.
//
// Tiles of 6x6 values of x, 4 apart, and the weights are transformed by evaluation of polynomials in both directions at
// the points 0, 3/4, -3/4, 3/2, -3/2 and infinity; at each of the 36 pairs of points the convolution is a product of
// matrices (O, C) (C, tiles); and 4x4 results come back by interpolation:
//
//   U = G w G^T,  V = B^T x B,  y = A^T (U V) A
//
// Numerics: the transforms' constants are exact in f32. On random data of 160 channels the error is 1.2e-6 of the
// results' root mean square (0.24e-6 by summation in order); with the usual points 1 and 2 it is 2.5e-6. Each result is
// summed in an order that the number of channels alone decides.
// Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016); the points follow Barabasz et
// al., "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks" (2020).
#pragma once

#include "tensor/kernels/conv2d.h"

namespace terrace {

/// Which weights winograd_conv2d is given: those of the convolution it computes, or those of the convolution whose
/// gradient it computes: with in and out channels exchanged, and each kernel rotated by 180 degrees.
enum class WeightOrder : uint8_t { kForward, kGradient };

/// y = conv(x, weight) + bias, overwritten; bias (O) or null. The geometry is that of the convolution computed, also
/// for kGradient: there `weight` is (in_channels, out_channels, 3, 3). Takes working memory from the allocator.
inline constinit Kernel<void(const Conv2dGeometry& geometry, const float* x, const float* weight, const float* bias,
                             float* y, WeightOrder order)>
    winograd_conv2d{"conv2d (Winograd)"};

}  // namespace terrace
