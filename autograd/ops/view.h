// Ops that move elements without changing them. Views share the input's storage; nothing is saved but shapes.
#pragma once

#include <vector>

#include "autograd/node.h"
#include "autograd/ops/padding.h"

namespace terrace {

/// One extent may be -1. A view where the strides allow, else a copy. Gradient: reshaped back.
Variable reshape(const Variable& x, const Shape& shape);
/// y[i0, i1, ...] with the dimensions in the given order. Gradient: the inverse permutation.
Variable permute(const Variable& x, const std::vector<int64_t>& order);
Variable transpose(const Variable& x, int64_t a, int64_t b);
Variable unsqueeze(const Variable& x, int64_t dim);
Variable squeeze(const Variable& x, int64_t dim);
/// Stretches extents of 1 (and adds leading ones). Gradient: summed back.
Variable expand(const Variable& x, const Shape& shape);
/// [begin, end) of one dimension. Gradient: zero outside.
Variable slice(const Variable& x, int64_t dim, int64_t begin, int64_t end);
/// One position of a dimension, which is dropped.
Variable select(const Variable& x, int64_t dim, int64_t index);
/// Joins along `dim`; the other extents must agree. Gradient: the parts.
Variable concat(const std::vector<Variable>& parts, int64_t dim);
/// `count` equal parts along `dim`, as views; their gradients are joined at once.
std::vector<Variable> chunk(const Variable& x, int64_t count, int64_t dim);

/// Zeros around the last two dimensions.
Variable pad2d(const Variable& x, const Padding2d& padding);

Variable contiguous(const Variable& x);
/// Converts between floating types. Gradient: converted back.
Variable to(const Variable& x, DType dtype);

}  // namespace terrace
