// Sinusoidal position tables (Vaswani et al. 2017) of lines, grids and token pyramids, and the resampling of learned
// tables. Everything is computed in f64 and stored as f32. A pyramid's table has a row per token, scale after scale,
// row-major inside a scale: L = sum of patch_nums^2.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace terrace {

/// (N, C): row p, column 2i is sin(p exp(-2i ln(10000)/C)), column 2i+1 the cosine. C even, else ShapeError.
Tensor sinusoid_1d(const std::vector<double>& positions, int64_t channels);

/// (R*K, C) for a grid of R rows and K columns: sinusoid_1d(row, C/2) beside sinusoid_1d(column, C/2). C divisible
/// by 4.
Tensor sinusoid_2d(const std::vector<double>& rows, const std::vector<double>& columns, int64_t channels);

/// (L, C): the flat token index 0..L-1 as the position.
Tensor pyramid_sinusoid_1d(const std::vector<int64_t>& patch_nums, int64_t channels);

/// (L, C): rows and columns 0..pn-1 in each scale.
Tensor pyramid_sinusoid_2d(const std::vector<int64_t>& patch_nums, int64_t channels);

/// (L, C): positions (i + 0.5) P/pn with P the last patch number, so that scales agree on where things are.
Tensor pyramid_sinusoid_2d_scaled(const std::vector<int64_t>& patch_nums, int64_t channels);

/// Resamples a table (L, C) of one pyramid to another, scale by scale: bicubic (a = -0.75), half-pixel centres, borders
/// repeated; a scale of the same size is copied. Throws ShapeError where rows or the number of scales do not fit.
Tensor resize_pyramid_table(const Tensor& table, const std::vector<int64_t>& from, const std::vector<int64_t>& to);

}  // namespace terrace
