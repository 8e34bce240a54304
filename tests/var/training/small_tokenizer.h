// A small tokenizer and images for it, for the tests of VqvaeTrainer.
#pragma once

#include <memory>
#include <string>

#include "data/datasets/image_dataset.h"
#include "var/training/vqvae_trainer.h"

namespace terrace {

// 8 x 8 images, 4 x 4 latents: small enough for many steps a second.
inline VqvaeConfig tiny() {
  VqvaeConfig config;
  config.ch = 8;
  config.ch_mult = {1, 1};
  config.num_res_blocks = 1;
  config.z_channels = 4;
  config.vocab_size = 32;
  config.patch_nums = {1, 2, 4};
  config.norm_groups = 4;
  return config;
}

// Two colours, one on each side of a border that moves.
inline ImageDataset small_set(const std::string& path) {
  constexpr int64_t kCount = 40;
  Tensor images = Tensor::empty({kCount, 8, 8, 3}, DType::kU8);
  Tensor labels = Tensor::empty({kCount}, DType::kI64);
  for (int64_t n = 0; n < kCount; ++n) {
    labels.data<int64_t>()[n] = n % 2;
    for (int64_t i = 0; i < 64; ++i) {
      for (int64_t c = 0; c < 3; ++c) {
        const bool left = i % 8 < 2 + n % 5;
        images.data<uint8_t>()[(n * 64 + i) * 3 + c] = static_cast<uint8_t>(left ? 30 + 40 * c : 220 - 50 * (n % 3));
      }
    }
  }
  create_dataset(path, "train", images, labels, {"even", "odd"}, "made by the test");
  return ImageDataset::open(path, "train");
}

inline VqvaeTrainOptions quick() {
  VqvaeTrainOptions options;
  options.steps = 12;
  options.batch = 8;
  options.lr = 2e-3;
  options.warmup = 2;
  options.init_iterations = 2;
  options.revive_after = 3;
  options.ema_decay = 0.9;
  options.edge_weight = 0.1;
  options.l1_weight = 0.1;
  options.log_every = 4;
  options.evaluate_images = 16;
  options.seed = 5;
  return options;
}

inline Vqvae* fresh(std::unique_ptr<Vqvae>& holder, VqvaeConfig config = tiny()) {
  Generator g(1);
  holder = std::make_unique<Vqvae>(config, g);
  return holder.get();
}

}  // namespace terrace
