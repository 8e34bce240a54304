// Reductions of variables.
#pragma once

#include <vector>

#include "autograd/node.h"
#include "tensor/reduce.h"

namespace terrace {

/// y = sum of x over `dims` (empty: all). dx = dy, expanded. Saves nothing but the shape.
Variable sum(const Variable& x, const std::vector<int64_t>& dims = {}, KeepDim keep = KeepDim::kNo);

/// y = sum / count. dx = dy / count, expanded.
Variable mean(const Variable& x, const std::vector<int64_t>& dims = {}, KeepDim keep = KeepDim::kNo);

/// y = the largest element over `dims`. dx = dy at the maximum; equal maxima share it evenly (torch.amax).
/// Saves x and y.
Variable max(const Variable& x, const std::vector<int64_t>& dims = {}, KeepDim keep = KeepDim::kNo);

}  // namespace terrace
