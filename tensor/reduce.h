// Reductions of tensors without a graph: the values, and what backward passes need.
#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace terrace {

enum class KeepDim : bool { kNo = false, kYes = true };

/// Over `dims` (empty: all). Accumulates in f32 (f64 for f64), pairwise by blocks, in an order fixed by the shape; bf16
/// results are rounded once, at the end.
Tensor sum(const Tensor& x, const std::vector<int64_t>& dims = {}, KeepDim keep = KeepDim::kNo);
Tensor mean(const Tensor& x, const std::vector<int64_t>& dims = {}, KeepDim keep = KeepDim::kNo);
Tensor max(const Tensor& x, const std::vector<int64_t>& dims = {}, KeepDim keep = KeepDim::kNo);  // NaN propagates

/// Sums a gradient of a broadcast result back to `shape` (the reverse of expand). Itself where shapes agree.
Tensor sum_to(const Tensor& x, const Shape& shape);

/// Sum of squares, in an order fixed by the extents: for global norms. Blocks of 1024 are summed in f32 (f64 for f64),
/// their sums in f64.
double squared_norm(const Tensor& x);
bool has_nan(const Tensor& x);

}  // namespace terrace
