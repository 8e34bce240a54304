// What the attention kernels share: the problem as a kernel sees it, and tiles of queries.
#pragma once

#include "cuda/device/kernel.h"
#include "tensor/kernels/attention.h"

namespace terrace::cuda {

inline constexpr int kMaxScales = 128;  // two AttentionScales fit a kernel's 4 KiB of parameters

/// The blocks of an AttentionProblem by value: the queries [query_begin(s), query_end[s]) see the keys [0, key_end[s]).
struct AttentionScales {
  int count;
  int query_end[kMaxScales], key_end[kMaxScales];

  TERRACE_HD int query_begin(int s) const { return s == 0 ? 0 : query_end[s - 1]; }
};

/// Queries [begin, end). They see the keys [0, key_end), or where several scales share a tile some see fewer.
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

/// The first scales of a pyramid have few queries: neighbouring scales that together fill no more than a tile become
/// one scale, with the keys that the last of them sees. The kernels mask what the earlier ones do not see.
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

/// The operands of both directions; those that a direction does not have are null. Arrays of A without another shape
/// are (B, H, L).
template <class T>
struct AttentionCall {
  using A = Accumulator<T>;
  int B, H, Lq, Lk, D;
  A scale;
  AttentionScales scales;
  AttentionRows<const T> q, k, v;
  const A* head_factor;              // (H), or null where queries and keys are not normalised
  const A *query_norms, *key_norms;  // 1 / max(norm, eps) where they are, else null
  AttentionRows<T> y;                // forward
  A* lse_out;
  const A *lse, *dots;  // backward: dots = rowsum(y dy)
  AttentionRows<const T> dy;
  AttentionRows<T> dq, dk, dv;
  A* dlog_parts;  // (B, H, query_tiles): each tile's share of d loss / d ln(head_factor), or null

  /// The factor on q k of head h, without the normalisation of q and k.
  __device__ A factor(int h) const { return head_factor ? scale * head_factor[h] : scale; }
};

template <class T>
__device__ T* head_rows(const AttentionRows<T>& rows, int64_t b, int64_t h) {
  return rows.data + b * rows.batch + h * rows.head;
}

/// Whether eps stood in for the norm: the inverse norm is then a constant, without gradient.
template <class A>
__device__ bool is_clamped(A inverse_norm) {
  return inverse_norm == A(1) / static_cast<A>(kAttentionNormEps);
}

}  // namespace terrace::cuda
