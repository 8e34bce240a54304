// The attention kernels. Formulas of both directions are in autograd/ops/attention.h.
#pragma once

#include "tensor/base/dtype.h"
#include "tensor/device/kernel.h"

namespace terrace {

/// A (B, L, H, D) operand read or written in place: element (b, l, h, d) is data[b*batch + l*token + h*head + d].
template <class T>
struct AttentionRows {
  T* data;
  int64_t batch, token, head;
};

/// The queries [query_begin, query_end) see the keys [0, key_end). Every query is in exactly one block; from block to
/// block queries and key_end ascend.
struct AttentionBlock {
  int64_t query_begin, query_end, key_end;
};

struct AttentionProblem {
  int64_t B, H, Lq, Lk, D;
  const AttentionBlock* blocks;  // in host memory
  int64_t block_count;
  double scale;
  int64_t threads;  // of the CPU's kernels, each with a part of the workspace, which on other devices is empty
};

inline constexpr double kAttentionNormEps = 1e-12;  // smallest norm that a query or key is divided by
inline constexpr int64_t kAttentionPad = 32;        // elements that rows and panels of the workspace are padded to
inline constexpr int64_t kAttentionTile = 48;       // most queries treated at once

inline int64_t attention_padded(int64_t n) { return (n + kAttentionPad - 1) / kAttentionPad * kAttentionPad; }

/// Queries per tile: as many as keep a tile of scores (rows x Lk) within a core's second-level cache.
inline int64_t attention_tile_rows(int64_t Lk) {
  constexpr int64_t kScores = 32768;
  const int64_t rows = kScores / (attention_padded(Lk) + kAttentionPad) / 12 * 12;
  return rows < 12 ? 12 : rows > kAttentionTile ? kAttentionTile : rows;
}

/// Elements of the accumulator's type that a forward pass needs per thread.
inline int64_t attention_forward_workspace(const AttentionProblem& p) {
  const int64_t keys = attention_padded(p.Lk), width = attention_padded(p.D), rows = attention_tile_rows(p.Lk);
  return 3 * keys * width + rows * (keys + kAttentionPad) + 2 * rows * width;
}

/// The same for a backward pass.
inline int64_t attention_backward_workspace(const AttentionProblem& p) {
  const int64_t keys = attention_padded(p.Lk), width = attention_padded(p.D), rows = attention_tile_rows(p.Lk);
  return 6 * keys * width + keys + 2 * rows * (keys + kAttentionPad) + 5 * rows * width + attention_padded(rows);
}

/// y = attention(q, k, v) and, unless null, lse (B, H, Lq) = log of the sum of the visible exp(scores).
/// With head_factor (H), not null, queries and keys are L2-normalised and head h's queries multiplied by its factor.
template <class T>
inline constinit Kernel<void(const AttentionProblem& problem, AttentionRows<const T> q, AttentionRows<const T> k,
                             AttentionRows<const T> v, const Accumulator<T>* head_factor, AttentionRows<T> y,
                             Accumulator<T>* lse, Accumulator<T>* workspace)>
    attention_forward{"attention"};

/// Overwrites dq, dk, dv and, with head_factor, dlog_factor (B, H): d loss / d ln(head_factor) by sample. y is the
/// forward pass's: rowsum(P dP) = rowsum(y dy), which a kernel that never sees a whole row of P takes from there.
template <class T>
inline constinit Kernel<void(const AttentionProblem& problem, AttentionRows<const T> q, AttentionRows<const T> k,
                             AttentionRows<const T> v, const Accumulator<T>* head_factor, AttentionRows<const T> y,
                             const Accumulator<T>* lse, AttentionRows<const T> dy, AttentionRows<T> dq,
                             AttentionRows<T> dk, AttentionRows<T> dv, Accumulator<T>* dlog_factor,
                             Accumulator<T>* workspace)>
    attention_backward{"attention backward"};

}  // namespace terrace
