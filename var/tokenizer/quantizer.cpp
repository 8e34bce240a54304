#include "var/tokenizer/quantizer.h"

#include <cmath>

#include "autograd/functions.h"
#include "autograd/ops/interpolate.h"
#include "autograd/ops/nearest_code.h"
#include "tensor/pointwise.h"

namespace terrace {

int64_t phi_index(int64_t s, int64_t scales, int64_t phis) {
  // The order of operations is numpy.linspace's, since ties between two ticks are decided by rounding.
  const double K = static_cast<double>(phis);
  const double start = phis == 4 ? 1.0 / 3 / K : 1.0 / 2 / K;
  const double stop = 1 - start;
  const double step = phis > 1 ? (stop - start) / (K - 1) : 0;
  const double at = scales > 1 ? static_cast<double>(s) / static_cast<double>(scales - 1) : 0;
  int64_t best = 0;
  double best_distance = 2;
  for (int64_t k = 0; k < phis; ++k) {
    const double tick = k == phis - 1 && phis > 1 ? stop : static_cast<double>(k) * step + start;
    const double distance = std::abs(tick - at);
    if (distance < best_distance) {
      best = k;
      best_distance = distance;
    }
  }
  return best;
}

// Names as in the official code: "0", "1", ... with one phi per scale, "qresi" for a single one, "qresi_ls.0", ... for
// a few that the scales share.
class Quantizer::PhiBank : public Module {
 public:
  PhiBank(const QuantizerConfig& config, int64_t scales, Generator& g) {
    if (std::abs(config.quant_resi) <= 1e-6) { return; }
    const int64_t share = config.share_quant_resi;
    const int64_t count = share == 0 ? scales : share;
    for (int64_t k = 0; k < count; ++k) {
      phis_.push_back(std::make_unique<Conv2d>(config.channels, config.channels, 3, 1, 1, Bias::kYes, g));
      const std::string name = share == 1 ? "qresi" : share == 0 ? std::to_string(k) : "qresi_ls." + std::to_string(k);
      register_module(name, *phis_.back());
    }
    for (int64_t s = 0; s < scales; ++s) { index_.push_back(phi_index(s, scales, count)); }
  }
  /// Null without phis.
  const Conv2d* of_scale(int64_t s) const {
    return phis_.empty() ? nullptr : phis_[static_cast<size_t>(index_[static_cast<size_t>(s)])].get();
  }

 private:
  std::vector<std::unique_ptr<Conv2d>> phis_;
  std::vector<int64_t> index_;  // per scale
};

Quantizer::Quantizer(const QuantizerConfig& config, Generator& g)
    : config_(config), pyramid_(config.patch_nums), embedding_(config.vocab_size, config.channels, g) {
  if (config.share_quant_resi < 0) {
    throw ConfigError(cat("share_quant_resi: must be 0 or positive, got ", config.share_quant_resi));
  }
  const int64_t S = pyramid_.scales();
  quant_resi_ = std::make_unique<PhiBank>(config, S, g);
  ema_vocab_hit_ = Tensor::zeros({S, config.vocab_size});
  register_module("quant_resi", *quant_resi_);
  register_buffer("ema_vocab_hit_SV", ema_vocab_hit_);
  register_module("embedding", embedding_);
}

Quantizer::~Quantizer() = default;

void Quantizer::check_map(const Tensor& f, const char* op) const {
  const int64_t P = pyramid_.largest();
  if (f.ndim() != 4 || f.dim(1) != config_.channels || f.dim(2) != P || f.dim(3) != P) {
    throw ShapeError(cat(op, ": f must be (B, ", config_.channels, ", ", P, ", ", P, "), got ", f.describe()));
  }
}

void Quantizer::check_indices(const Tensor& indices, const char* op) const {
  check_dtype(indices, DType::kI64, op, "indices");
  if (indices.ndim() != 2 || indices.dim(1) != pyramid_.length()) {
    throw ShapeError(cat(op, ": indices must be (B, L)=(B, ", pyramid_.length(), "), got ", indices.describe()));
  }
}

Variable Quantizer::contribution(int64_t s, const Variable& h) const {
  const int64_t P = pyramid_.largest();
  const bool last = s == pyramid_.scales() - 1;
  const Variable up = last ? h : interpolate(h, P, P, Interpolation::kBicubic);
  const Conv2d* phi = quant_resi_->of_scale(s);
  if (phi == nullptr) { return up; }
  const double q = std::abs(config_.quant_resi);
  return add(scale(up, 1 - q), scale((*phi)(up), q));
}

Variable Quantizer::embed_map(const Tensor& indices, int64_t s) const {
  const int64_t B = indices.dim(0), p = pyramid_.patch(s);
  const Variable rows = embedding_(indices.to(embedding_.weight.device()));  // (B, p*p, C)
  return reshape(transpose(rows, 1, 2), {B, config_.channels, p, p});
}

Tensor Quantizer::residual_rows(const Tensor& residual, int64_t s) const {
  const int64_t p = pyramid_.patch(s);
  const bool last = s == pyramid_.scales() - 1;
  const Tensor pooled = last ? residual : interpolate(residual, p, p, Interpolation::kArea);
  return pooled.permute({0, 2, 3, 1}).reshape({-1, config_.channels}).contiguous();
}

Tensor Quantizer::nearest(const Tensor& rows, int64_t B) const {
  const CodeDistance distance = config_.using_znorm ? CodeDistance::kCosine : CodeDistance::kEuclidean;
  return nearest_code(rows, embedding_.weight.value(), distance).reshape({B, -1});
}

Quantizer::Output Quantizer::forward(const Variable& f) const {
  check_map(f.value(), "Quantizer::forward");
  const int64_t B = f.dim(0), S = pyramid_.scales();
  const Variable f_fixed = f.detach();
  Tensor residual = f.value();
  Variable f_hat, loss;
  std::vector<Tensor> indices, residuals;
  for (int64_t s = 0; s < S; ++s) {
    residuals.push_back(residual_rows(residual, s));
    indices.push_back(nearest(residuals.back(), B));
    const Variable h = contribution(s, embed_map(indices.back(), s));
    f_hat = s == 0 ? h : add(f_hat, h);
    residual = sub(residual, h.value());
    const Variable commitment = mean(square(sub(f_hat.detach(), f)));
    const Variable codes = mean(square(sub(f_hat, f_fixed)));
    const Variable term = add(scale(commitment, config_.beta), codes);
    loss = s == 0 ? term : add(loss, term);
  }
  Output out;
  // (f_hat - f) + f with the first part constant: the value of f_hat, the gradient of f.
  out.f_hat = add(sub(f_hat.detach(), f_fixed), f);
  out.vq_loss = scale(loss, 1.0 / static_cast<double>(S));
  out.indices = join_scales(indices);
  out.residuals = std::move(residuals);
  return out;
}

Tensor Quantizer::f_to_indices(const Tensor& f) const {
  check_map(f, "Quantizer::f_to_indices");
  NoGrad no_grad;
  Tensor residual = f;
  std::vector<Tensor> indices;
  for (int64_t s = 0; s < pyramid_.scales(); ++s) {
    indices.push_back(nearest(residual_rows(residual, s), f.dim(0)));
    residual = sub(residual, contribution(s, embed_map(indices.back(), s)).value());
  }
  return join_scales(indices);
}

std::vector<Tensor> Quantizer::f_to_f_hats(const Tensor& f) const { return indices_to_f_hats(f_to_indices(f)); }

std::vector<Tensor> Quantizer::indices_to_f_hats(const Tensor& indices) const {
  check_indices(indices, "Quantizer::indices_to_f_hats");
  NoGrad no_grad;
  std::vector<Tensor> f_hats;
  for (int64_t s = 0; s < pyramid_.scales(); ++s) {
    const Tensor scale_indices = indices.slice(1, pyramid_.begin(s), pyramid_.end(s)).contiguous();
    const Tensor h = contribution(s, embed_map(scale_indices, s)).value();
    f_hats.push_back(s == 0 ? h : add(f_hats.back(), h));
  }
  return f_hats;
}

Tensor Quantizer::indices_to_f_hat(const Tensor& indices) const { return indices_to_f_hats(indices).back(); }

Tensor Quantizer::indices_to_var_input(const Tensor& indices) const {
  const std::vector<Tensor> f_hats = indices_to_f_hats(indices);
  const int64_t B = indices.dim(0), C = config_.channels, first = pyramid_.tokens(0);
  Tensor input = Tensor::empty({B, pyramid_.length() - first, C}, DType::kF32, f_hats[0].device());
  for (int64_t s = 1; s < pyramid_.scales(); ++s) {
    const int64_t p = pyramid_.patch(s);
    const Tensor pooled = interpolate(f_hats[static_cast<size_t>(s - 1)], p, p, Interpolation::kArea);
    Tensor rows = input.slice(1, pyramid_.begin(s) - first, pyramid_.end(s) - first);
    rows.copy_(pooled.reshape({B, C, p * p}).transpose(1, 2));
  }
  return input;
}

Tensor Quantizer::embed_scale(const Tensor& indices, int64_t s) const {
  check_dtype(indices, DType::kI64, "Quantizer::embed_scale", "indices");
  check_shape(indices, {indices.dim(0), pyramid_.tokens(s)}, "Quantizer::embed_scale", "indices");
  NoGrad no_grad;
  return embed_map(indices.contiguous(), s).value().contiguous();
}

Tensor Quantizer::next_input(int64_t s, Tensor& f_hat, const Tensor& h) const {
  check_map(f_hat, "Quantizer::next_input");
  NoGrad no_grad;
  add_(f_hat, contribution(s, Variable(h)).value());
  if (s == pyramid_.scales() - 1) { return f_hat; }
  return interpolate(f_hat, pyramid_.patch(s + 1), pyramid_.patch(s + 1), Interpolation::kArea);
}

std::vector<Tensor> Quantizer::ideal_residuals(const Tensor& f) const {
  check_map(f, "Quantizer::ideal_residuals");
  NoGrad no_grad;
  std::vector<Tensor> rows;
  Tensor residual = f;
  for (int64_t s = 0; s < pyramid_.scales(); ++s) {
    rows.push_back(residual_rows(residual, s));
    const int64_t p = pyramid_.patch(s);
    const Tensor map = rows.back().reshape({f.dim(0), p, p, config_.channels}).permute({0, 3, 1, 2}).contiguous();
    residual = sub(residual, contribution(s, Variable(map)).value());
  }
  return rows;
}

void Quantizer::record_hits(const Tensor& hits, int64_t recorded) {
  check_shape(hits, ema_vocab_hit_.shape(), "Quantizer::record_hits", "hits");
  const double weight = recorded == 0 ? 1 : recorded < 100 ? 0.1 : 0.01;
  scale_(ema_vocab_hit_, 1 - weight);
  add_(ema_vocab_hit_, hits.to(ema_vocab_hit_.device()), weight);
}

std::vector<Tensor> split_scales(const Tensor& indices, const Pyramid& pyramid) {
  if (indices.ndim() != 2 || indices.dim(1) != pyramid.length()) {
    throw ShapeError(cat("split_scales: indices must be (B, L)=(B, ", pyramid.length(), "), got ", indices.describe()));
  }
  std::vector<Tensor> parts;
  for (int64_t s = 0; s < pyramid.scales(); ++s) {
    parts.push_back(indices.slice(1, pyramid.begin(s), pyramid.end(s)));
  }
  return parts;
}

Tensor join_scales(const std::vector<Tensor>& per_scale) {
  if (per_scale.empty()) { return Tensor::empty({0, 0}, DType::kI64); }
  int64_t length = 0;
  for (const Tensor& part : per_scale) { length += part.dim(1); }
  Tensor joined = Tensor::empty({per_scale[0].dim(0), length}, DType::kI64, per_scale[0].device());
  int64_t at = 0;
  for (const Tensor& part : per_scale) {
    joined.slice(1, at, at + part.dim(1)).copy_(part);
    at += part.dim(1);
  }
  return joined;
}

}  // namespace terrace
