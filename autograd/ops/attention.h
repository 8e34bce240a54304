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
  /// The ends of scales with patch_nums[s]^2 tokens: {1, 2, 3} gives {1, 5, 14}. Throws ShapeError for a patch number
  /// below 1.
  static Visibility pyramid(const std::vector<int64_t>& patch_nums);
};

/// Scaled dot-product attention of H heads.
///
///   y[b,i,h,:] = sum_j P_ij v[b,j,h,:],  P = softmax over the visible j of scale * q[b,i,h,:] . k[b,j,h,:]
///   dv = P^T dy;  dP = dy v^T;  dS = P (dP - rowsum(P dP));  dq = scale dS k;  dk = scale dS^T q
///
/// Shapes: q (B, Lq, H, D), k and v (B, Lk, H, D) -> (B, Lq, H*D), heads side by side.
/// Arguments: views with a unit stride along D are read in place (slices of one qkv matrix, of a cache); others are
///   copied first. With visibility.ends Lq = Lk = ends.back().
/// Saves: q, k, v, y and the log-sum-exp (B, H, Lq); probabilities are recomputed by tiles.
/// Errors: ShapeError for other shapes, ends that do not ascend to L and queries without a key; DTypeError unless all
///   are f32, bf16 or f64 alike; ConfigError for a scale that is 0 or not finite.
/// Numerics: scores, probabilities and sums in f32 (f64 for f64). Deterministic for any number of threads.
/// Source: Vaswani et al., "Attention Is All You Need", 2017, eq. 1; torch.nn.functional.scaled_dot_product_attention.
Variable attention(const Variable& q, const Variable& k, const Variable& v, const Visibility& visibility, double scale);

/// Self-attention from one projection, as VAR's blocks need it: q, k, v are the thirds of the last dimension.
///
///   without scale_mul: y = attention(q, k, v, visibility, softmax_scale)
///   with it:           y = attention(q', k', v, visibility, softmax_scale), per head and token
///                      q' = exp(min(scale_mul_h, ln 100)) q / max(|q|, 1e-12),  k' = k / max(|k|, 1e-12)
///   dscale_mul_h = sum q' . dq', and 0 above ln 100; dqkv by the chain rule through the two norms
///
/// Shapes: qkv (B, L, 3C), scale_mul (1, H, 1, 1) or undefined -> (B, L, C); head h holds the channels [hD, (h+1)D).
/// Arguments: `heads` divides C; scale_mul is of the accumulator's type (f32 under bf16).
/// Saves: qkv, scale_mul, y and the log-sum-exp (B, H, L).
/// Errors, numerics: as for attention.
/// Source: VAR's SelfAttention with attn_l2_norm.
Variable pyramid_attention(const Variable& qkv, int64_t heads, const Variable& scale_mul, const Visibility& visibility,
                           double softmax_scale);

/// One head over the pixels of a feature map, everything visible (the tokenizer's attention block): pyramid_attention
/// with the pixels as tokens, whose card says formula, errors and numerics.
///
/// Shapes: qkv (B, 3C, H, W), channels q then k then v -> (B, C, H, W).
/// Saves: what pyramid_attention saves.
/// Source: VAR's AttnBlock.
Variable feature_map_attention(const Variable& qkv, double scale);

}  // namespace terrace
