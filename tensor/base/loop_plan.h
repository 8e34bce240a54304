// How a kernel walks several strided operands of one shape: the fewest loops that visit every element.
#pragma once

#include <array>
#include <cstdint>

#include "tensor/base/host_device.h"
#include "tensor/base/shape.h"

namespace terrace {

inline constexpr int kMaxDims = 10;

/// Extents outermost first with the strides of N operands (in elements). Dimensions of extent 1 are dropped and
/// neighbours that every operand crosses with one stride are merged; a contiguous case has one loop.
template <int N>
struct LoopPlan {
  int ndim = 1;
  int64_t extents[kMaxDims] = {1};
  int64_t strides[N][kMaxDims] = {};

  TERRACE_HD int64_t inner() const { return extents[ndim - 1]; }
  TERRACE_HD int64_t outer() const {
    int64_t n = 1;
    for (int i = 0; i + 1 < ndim; ++i) { n *= extents[i]; }
    return n;
  }
  /// Whether every operand is one run of neighbouring elements.
  bool contiguous() const {
    for (int k = 0; k < N; ++k) {
      if (ndim != 1 || strides[k][0] != 1) { return false; }
    }
    return true;
  }
  /// Element offsets of each operand at the beginning of inner loop number `row`.
  TERRACE_HD void offsets(int64_t row, int64_t (&out)[N]) const {
    for (int k = 0; k < N; ++k) { out[k] = 0; }
    for (int i = ndim - 2; i >= 0; --i) {
      const int64_t at = row % extents[i];
      row /= extents[i];
      for (int k = 0; k < N; ++k) { out[k] += at * strides[k][i]; }
    }
  }
};

/// Throws ShapeError where more than kMaxDims loops would be needed.
void throw_too_many_dims(const Shape& shape);

template <int N>
LoopPlan<N> plan_loops(const Shape& shape, const std::array<Shape, N>& strides) {
  LoopPlan<N> plan;
  plan.ndim = 0;
  for (int64_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) { continue; }
    bool merges = plan.ndim > 0;
    for (int k = 0; k < N && merges; ++k) {
      merges = plan.strides[k][plan.ndim - 1] == strides[static_cast<size_t>(k)][i] * shape[i];
    }
    if (merges) {
      plan.extents[plan.ndim - 1] *= shape[i];
    } else {
      if (plan.ndim == kMaxDims) { throw_too_many_dims(shape); }
      plan.extents[plan.ndim++] = shape[i];
    }
    for (int k = 0; k < N; ++k) { plan.strides[k][plan.ndim - 1] = strides[static_cast<size_t>(k)][i]; }
  }
  if (plan.ndim == 0) {
    plan.ndim = 1;
    plan.extents[0] = 1;
    for (int k = 0; k < N; ++k) { plan.strides[k][0] = 0; }
  }
  return plan;
}

/// Strides that read `t_shape` with `strides` as if it had the (broadcast) shape `to`: 0 where it stretches.
Shape broadcast_strides(const Shape& t_shape, const Shape& strides, const Shape& to);

}  // namespace terrace
