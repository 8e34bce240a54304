// Ops that move elements without changing them: one card for all, and at each op its formula.
//
// Shapes: at each op.
// Saves: nothing but shapes.
// Errors: IndexError for a dimension or range that x lacks, ShapeError for extents that do not fit, DTypeError where
//   parts differ in type and for a conversion to a type that is not floating.
// Numerics: elements are copied as they are; only to() rounds. A view shares x's storage, so that a change of one in
//   place is seen in the other; contiguous() and to() give x itself where nothing is to do.
// Source: the functions of these names in torch (concat: torch.cat, pad2d: torch.nn.functional.pad).
#pragma once

#include <vector>

#include "autograd/node.h"
#include "autograd/ops/padding.h"

namespace terrace {

/// The elements in row-major order in another shape, one of whose extents may be -1. A view where the strides allow,
/// else a copy. dx is dy reshaped back.
Variable reshape(const Variable& x, const Shape& shape);

/// A view with x's dimensions in the given order: extent i of y is extent order[i] of x. dx is dy in the inverse order.
Variable permute(const Variable& x, const std::vector<int64_t>& order);

/// A view with two dimensions exchanged. dx is dy with the same two exchanged.
Variable transpose(const Variable& x, int64_t a, int64_t b);

/// Views with a dimension of extent 1 more, at `dim`, or less. dx is dy reshaped back.
Variable unsqueeze(const Variable& x, int64_t dim);
Variable squeeze(const Variable& x, int64_t dim);

/// A view that repeats extents of 1, and adds leading ones, up to `shape`. dx is dy summed over what was repeated.
Variable expand(const Variable& x, const Shape& shape);

/// A view of [begin, end) of one dimension. dx is dy there, 0 elsewhere.
Variable slice(const Variable& x, int64_t dim, int64_t begin, int64_t end);

/// A view of one position of a dimension, which is dropped. dx is dy there, 0 elsewhere.
Variable select(const Variable& x, int64_t dim, int64_t index);

/// The parts one after the other along `dim`; their other extents must agree. The gradients are the parts of dy.
Variable concat(const std::vector<Variable>& parts, int64_t dim);

/// `count` equal parts along `dim`, as views. dx is their gradients joined, 0 for a part without one.
std::vector<Variable> chunk(const Variable& x, int64_t count, int64_t dim);

/// Zeros around the last two dimensions. dx is dy without them.
Variable pad2d(const Variable& x, const Padding2d& padding);

/// The elements in row-major order in memory. dx is dy.
Variable contiguous(const Variable& x);

/// x converted to another floating type. dx is dy converted back.
Variable to(const Variable& x, DType dtype);

}  // namespace terrace
