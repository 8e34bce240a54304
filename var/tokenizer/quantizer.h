// The multi-scale residual quantizer of VAR (arXiv 2404.02905, algorithms 1 and 2).
//
// A latent map f (B, C, P, P) is written as a sum over the scales, coarse to fine:
//
//   r_0 = f;   z_s = nearest_code(area(r_s, patch(s)));   h_s = phi_s(bicubic(embedding[z_s], P x P))
//   r_{s+1} = r_s - h_s;   f_hat_s = h_0 + ... + h_s
//
// (no resampling at the last scale), with phi(h) = (1 - q) h + q conv3x3(h), q = |quant_resi|. Phis are shared by the
// scales: `share_quant_resi` 0: one each, 1: one for all, K: K of them, scale s taking the one whose tick is nearest to
// s / (S - 1).
//
// Indices of a batch are one i64 tensor (B, L) in the pyramid's token order. All parameter names are the official ones.
#pragma once

#include <vector>

#include "nn/layers.h"
#include "nn/module.h"
#include "tensor/random.h"
#include "var/pyramid.h"
#include "var/vqvae_config.h"

namespace terrace {

/// Which of `phis` serves scale `s` of `scales`: argmin_k |tick_k - s/(S-1)|, the first among equals; the ticks are
/// linspace(1/3/K, 1-1/3/K, K) for K = 4, else linspace(1/2/K, 1-1/2/K, K), in f64.
int64_t phi_index(int64_t s, int64_t scales, int64_t phis);

class Quantizer : public Module {
 public:
  /// The codebook is drawn from `g` as normal(0, 1), the phis as convolutions are. Throws ConfigError.
  explicit Quantizer(const QuantizerConfig& config, Generator& g = default_generator());
  ~Quantizer() override;

  struct Output {
    Variable f_hat;                 // (B,C,P,P): the quantized map; its gradient passes straight through to f
    Variable vq_loss;               // scalar: mean over scales of beta |sg(f_hat_s) - f|^2 + |f_hat_s - sg(f)|^2
    Tensor indices;                 // (B, L) i64
    std::vector<Tensor> residuals;  // per scale (B patch^2, C): what was quantized there
  };
  /// Training forward. Throws ShapeError unless f is (B, C, P, P) with P the finest patch.
  Output forward(const Variable& f) const;

  // --- Without a graph; indices may be on another device than the codebook ---
  Tensor f_to_indices(const Tensor& f) const;                          // (B,C,P,P) -> (B, L)
  std::vector<Tensor> f_to_f_hats(const Tensor& f) const;              // f_hat_s for every scale
  std::vector<Tensor> indices_to_f_hats(const Tensor& indices) const;  // (B, L) -> f_hat_s for every scale
  Tensor indices_to_f_hat(const Tensor& indices) const;                // the last of them
  /// Teacher forcing: f_hat_s area-downsampled to scale s+1, for s = 0 .. S-2, as tokens (B, L - tokens(0), C).
  Tensor indices_to_var_input(const Tensor& indices) const;
  /// Embeddings of one scale's indices (B, patch^2) as a map (B, C, patch, patch).
  Tensor embed_scale(const Tensor& indices, int64_t s) const;
  /// Sampling: adds phi_s(upsampled h) to f_hat (B,C,P,P) in place and returns f_hat downsampled to the next scale,
  /// (B, C, patch(s+1), patch(s+1)); at the last scale f_hat itself. h is (B, C, patch(s), patch(s)), as embed_scale
  /// gives it.
  Tensor next_input(int64_t s, Tensor& f_hat, const Tensor& h) const;

  /// The residual rows of every scale if each vector were its own code: the data that initial codes are chosen from.
  std::vector<Tensor> ideal_residuals(const Tensor& f) const;
  /// Updates the moving average of hits per scale and code, ema_vocab_hit_SV, with `hits` (S, V) as the official
  /// trainer does: the first hits replace it, later ones have the weight 0.1, from `recorded` = 100 on the weight 0.01.
  void record_hits(const Tensor& hits, int64_t recorded);
  const Tensor& hits() const { return ema_vocab_hit_; }

  const QuantizerConfig& config() const { return config_; }
  const Pyramid& pyramid() const { return pyramid_; }
  Variable& codebook() { return embedding_.weight; }  // (V, C), parameter embedding.weight
  const Variable& codebook() const { return embedding_.weight; }

 private:
  class PhiBank;                                              // the phis under their official names
  Variable contribution(int64_t s, const Variable& h) const;  // phi_s of h brought to (P, P)
  Variable embed_map(const Tensor& indices, int64_t s) const;
  Tensor residual_rows(const Tensor& residual, int64_t s) const;
  Tensor nearest(const Tensor& rows, int64_t B) const;
  void check_map(const Tensor& f, const char* op) const;
  void check_indices(const Tensor& indices, const char* op) const;

  QuantizerConfig config_;
  Pyramid pyramid_;
  std::unique_ptr<PhiBank> quant_resi_;
  Tensor ema_vocab_hit_;  // (S, V) f32, the official buffer ema_vocab_hit_SV
  Embedding embedding_;
};

/// Splits (B, L) indices into one (B, patch^2) view per scale, and joins them again.
std::vector<Tensor> split_scales(const Tensor& indices, const Pyramid& pyramid);
Tensor join_scales(const std::vector<Tensor>& per_scale);

}  // namespace terrace
