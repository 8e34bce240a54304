// What the attention kernels share: the problem as a kernel sees it, and tiles of queries.
#pragma once

#include "cuda/device/kernel.h"
#include "tensor/kernels/attention.h"

namespace terrace::cuda {

inline constexpr int kMostScales = 128;  // what fits a kernel's parameters

/// The blocks of an AttentionProblem by value: the queries [query_begin(s), query_end[s]) see the keys [0, key_end[s]).
struct AttentionScales {
  int count;
  int query_end[kMostScales], key_end[kMostScales];

  TERRACE_HD int query_begin(int s) const { return s == 0 ? 0 : query_end[s - 1]; }
};

/// Queries [begin, end), which see the keys [0, key_end) or, where scales share a tile, fewer.
struct QueryTile {
  int begin, end, key_end;
};

/// How many tiles of `size` queries the scales have. No tile reaches into a second scale.
TERRACE_HD inline int query_tiles(const AttentionScales& scales, int size) {
  int tiles = 0;
  for (int s = 0; s < scales.count; ++s) { tiles += (scales.query_end[s] - scales.query_begin(s) + size - 1) / size; }
  return tiles;
}

TERRACE_HD inline QueryTile query_tile(const AttentionScales& scales, int size, int index) {
  for (int s = 0;; ++s) {
    const int begin = scales.query_begin(s) + index * size, end = scales.query_end[s];
    const int tiles = (end - scales.query_begin(s) + size - 1) / size;
    if (index < tiles) { return {begin, begin + size < end ? begin + size : end, scales.key_end[s]}; }
    index -= tiles;
  }
}

/// The end of the keys that a query sees.
TERRACE_HD inline int key_end_of(const AttentionScales& scales, int query) {
  int s = 0;
  while (query >= scales.query_end[s]) { ++s; }
  return scales.key_end[s];
}

/// Neighbouring scales that together fill no more than a tile become one, whose queries see what the last of them sees
/// or less: the first scales of a pyramid have few queries.
inline AttentionScales merged_scales(const AttentionScales& scales, int size) {
  AttentionScales merged{};
  int begin = 0;
  for (int s = 0; s < scales.count; ++s) {
    if (merged.count == 0 || scales.query_end[s] - begin > size) {
      begin = scales.query_begin(s);
      ++merged.count;
    }
    merged.query_end[merged.count - 1] = scales.query_end[s];
    merged.key_end[merged.count - 1] = scales.key_end[s];
  }
  return merged;
}

/// Both directions' operands; what a direction does not have is null. Arrays by head are (B, H, L).
template <class T>
struct AttentionCall {
  using A = Accumulator<T>;
  int B, H, Lq, Lk, D;
  A scale;
  AttentionScales scales;
  AttentionRows<const T> q, k, v;
  const A* head_factor;              // null unless queries and keys are normalised
  const A *query_norms, *key_norms;  // then: 1 / max(norm, eps)
  AttentionRows<T> y;                // forward
  A* lse_out;
  const A *lse, *dots;  // backward: dots = rowsum(y dy)
  AttentionRows<const T> dy;
  AttentionRows<T> dq, dk, dv;
  A* dlog_parts;  // (B, H, query_tiles): d loss / d ln(head_factor) by tile

  /// What scores of head h are multiplied by before the norms.
  __device__ A factor(int h) const { return head_factor ? scale * head_factor[h] : scale; }
};

template <class T>
__device__ T* head_rows(const AttentionRows<T>& rows, int64_t b, int64_t h) {
  return rows.data + b * rows.batch + h * rows.head;
}

/// Where a norm was below eps its inverse is this, and then a constant, without gradient.
template <class A>
__device__ bool is_clamped(A inverse_norm) {
  return inverse_norm == A(1) / static_cast<A>(kAttentionNormEps);
}

}  // namespace terrace::cuda
