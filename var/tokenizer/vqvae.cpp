#include "var/tokenizer/vqvae.h"

#include <cmath>

#include "autograd/functions.h"
#include "var/tokenizer/vqvae_layers.h"

namespace terrace {

namespace {

const VqvaeConfig& validated(const VqvaeConfig& config) {
  config.validate();
  return config;
}

Tensor clamp_image(const Variable& x) { return clamp(x, -1, 1).value().to(kCpu); }

}  // namespace

Vqvae::Vqvae(const VqvaeConfig& config, Generator& g)
    : config_(validated(config)),
      encoder_(std::make_unique<VqvaeEncoder>(config, g)),
      decoder_(std::make_unique<VqvaeDecoder>(config, g)),
      quantize_(config.quantizer(), g),
      quant_conv_(config.z_channels, config.z_channels, config.quant_conv_ks, 1, config.quant_conv_ks / 2, Bias::kYes,
                  g),
      post_quant_conv_(config.z_channels, config.z_channels, config.quant_conv_ks, 1, config.quant_conv_ks / 2,
                       Bias::kYes, g) {
  register_module("encoder", *encoder_);
  register_module("decoder", *decoder_);
  register_module("quantize", quantize_);
  register_module("quant_conv", quant_conv_);
  register_module("post_quant_conv", post_quant_conv_);
}

Vqvae::~Vqvae() = default;

Variable Vqvae::encode_raw(const Variable& images) const {
  const int64_t d = config_.downsample();
  if (images.ndim() != 4 || images.dim(1) != config_.in_channels || images.dim(2) % d != 0 || images.dim(3) % d != 0) {
    throw ShapeError(cat("Vqvae::encode: images must be (B, ", config_.in_channels,
                         ", H, W) with H and W multiples of ", d, ", got ", images.value().describe()));
  }
  return (*encoder_)(images);
}

Variable Vqvae::encode(const Variable& images) const { return quant_conv_(encode_raw(images)); }

Variable Vqvae::decode(const Variable& f_hat) const {
  if (f_hat.ndim() != 4 || f_hat.dim(1) != config_.z_channels) {
    throw ShapeError(
        cat("Vqvae::decode: f_hat must be (B, ", config_.z_channels, ", h, w), got ", f_hat.value().describe()));
  }
  return (*decoder_)(post_quant_conv_(f_hat));
}

Vqvae::Output Vqvae::forward(const Variable& images) const {
  Output out;
  out.quantized = quantize_.forward(encode(images));
  out.reconstruction = decode(out.quantized.f_hat);
  return out;
}

Tensor Vqvae::images_to_indices(const Tensor& images) const {
  NoGrad no_grad;
  return quantize_.f_to_indices(encode(Variable(images.to(device()))).value()).to(kCpu);
}

Tensor Vqvae::f_hat_to_images(const Tensor& f_hat) const {
  NoGrad no_grad;
  return clamp_image(decode(Variable(f_hat.to(device()))));
}

Tensor Vqvae::indices_to_images(const Tensor& indices) const {
  return f_hat_to_images(quantize_.indices_to_f_hat(indices));
}

Tensor Vqvae::reconstruct(const Tensor& images) const { return indices_to_images(images_to_indices(images)); }

Device Vqvae::device() const { return quantize_.codebook().device(); }

double psnr_from_mse(double mse) { return 10 * std::log10(4 / mse); }

}  // namespace terrace
