// The multi-scale VQVAE: images to token pyramids and back. Structure and parameter names are those of VAR's official
// tokenizer, so that its weights load by name.
//
//   Vqvae vqvae(vqvae_preset32());
//   Tensor indices = vqvae.images_to_indices(images);      // (B,3,32,32) in [-1,1] -> (B, L) i64
//   Tensor again   = vqvae.indices_to_images(indices);     // in [-1,1]
#pragma once

#include <memory>
#include <vector>

#include "nn/layers.h"
#include "nn/module.h"
#include "var/tokenizer/quantizer.h"
#include "var/vqvae_config.h"

namespace terrace {

class VqvaeEncoder;
class VqvaeDecoder;

class Vqvae : public Module {
 public:
  /// Weights are drawn from `g`, in construction order, as PyTorch's layers start. Throws ConfigError.
  explicit Vqvae(const VqvaeConfig& config, Generator& g = default_generator());
  ~Vqvae() override;

  struct Output {
    Variable reconstruction;  // (B,3,H,W), not clamped
    Quantizer::Output quantized;
  };
  Output forward(const Variable& images) const;  // images NCHW in [-1, 1]

  Variable encode_raw(const Variable& images) const;  // the encoder alone
  Variable encode(const Variable& images) const;      // quant_conv(encoder): f (B, z_channels, H/d, W/d)
  Variable decode(const Variable& f_hat) const;       // decoder(post_quant_conv(f_hat)), not clamped

  /// Where the weights are; forward, encode and decode take what is there too. to() of Module moves them.
  Device device() const;

  // --- Without a graph, of tensors on any device, with results on the CPU; images are clamped to [-1, 1] ---
  Tensor images_to_indices(const Tensor& images) const;  // (B, L) i64
  Tensor f_hat_to_images(const Tensor& f_hat) const;
  Tensor indices_to_images(const Tensor& indices) const;
  Tensor reconstruct(const Tensor& images) const;

  Quantizer& quantizer() { return quantize_; }
  const Quantizer& quantizer() const { return quantize_; }
  const Pyramid& pyramid() const { return quantize_.pyramid(); }
  const VqvaeConfig& config() const { return config_; }

 private:
  VqvaeConfig config_;
  std::unique_ptr<VqvaeEncoder> encoder_;
  std::unique_ptr<VqvaeDecoder> decoder_;
  Quantizer quantize_;
  Conv2d quant_conv_, post_quant_conv_;
};

/// Peak signal to noise ratio in dB of images in [-1, 1] from their mean squared error: 10 log10(4 / mse).
double psnr_from_mse(double mse);

}  // namespace terrace
