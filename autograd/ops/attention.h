// Attention by pyramid visibility: every query sees a prefix of the keys, so the block-causal mask of next-scale
// prediction is a short list of ends and never a matrix.
#pragma once

#include <cstdint>
#include <vector>

#include "autograd/variable.h"

namespace terrace {

/// Which keys a query sees. With `ends` (ascending, the last one is L): the tokens [ends[s-1], ends[s]) are scale s,
/// and its queries see the keys [0, ends[s]). Without ends every query sees every key, and Lq and Lk are free.
struct Visibility {
  std::vector<int64_t> ends;

  /// Everything sees everything: feature maps, and new queries against a cache of keys.
  static Visibility full() { return {}; }
  /// The ends of scales with patch_nums[s]^2 tokens: {1, 2, 3} gives {1, 5, 14}.
  static Visibility pyramid(const std::vector<int64_t>& patch_nums);
};

/// Scaled dot-product attention of H heads.
/// Formula:  y[b,i,h,:] = sum_j P_ij v[b,j,h,:],  P = softmax over the visible j of scale * q[b,i,h,:] . k[b,j,h,:];
///           backward: dv = P^T dy, dP = dy v^T, dS = P (dP - rowsum(P dP)), dq = scale dS k, dk = scale dS^T q.
/// Shapes:   q (B, Lq, H, D), k and v (B, Lk, H, D) -> (B, Lq, H*D), heads side by side.
/// Arguments: views with a unit stride along D are read in place (slices of one qkv matrix, of a cache); others are
///           copied first. With visibility.ends Lq = Lk = ends.back().
/// Saved:    q, k, v, y and the log-sum-exp (B, H, Lq); probabilities are recomputed by tiles.
/// Errors:   ShapeError, DTypeError naming the argument.
/// Numerics: f32, f64, bf16 (f32 inside). Accumulation in f32 (f64 for f64). Deterministic for any number of threads.
/// Source:   Vaswani et al. 2017, eq. 1; torch.nn.functional.scaled_dot_product_attention.
Variable attention(const Variable& q, const Variable& k, const Variable& v, const Visibility& visibility, double scale);

/// Self-attention from one projection, as VAR's blocks need it: q, k, v are the thirds of the last dimension.
/// Formula:  without scale_mul attention(q, k, v, visibility, softmax_scale); with it
///           q' = exp(min(scale_mul_h, ln 100)) q / max(|q|, 1e-12), k' = k / max(|k|, 1e-12) per head and token, then
///           attention(q', k', v, visibility, softmax_scale). The gradient of scale_mul is 0 above ln 100.
/// Shapes:   qkv (B, L, 3C), scale_mul (1, H, 1, 1) or undefined -> (B, L, C); head h holds the channels [hD, (h+1)D).
/// Saved:    qkv, scale_mul, y and the log-sum-exp (B, H, L).
/// Errors, numerics, source: as attention(). scale_mul is of the accumulator's type (f32 under bf16).
Variable pyramid_attention(const Variable& qkv, int64_t heads, const Variable& scale_mul, const Visibility& visibility,
                           double softmax_scale);

/// One head over the pixels of a feature map, everything visible (the tokenizer's attention block).
/// Shapes:   qkv (B, 3C, H, W), channels q then k then v -> (B, C, H, W).
Variable feature_map_attention(const Variable& qkv, double scale);

}  // namespace terrace
