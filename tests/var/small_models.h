// Transformers that train in seconds, and one with a quantizer that samples in milliseconds.
#pragma once

#include <memory>

#include "autograd/functions.h"
#include "var/tokenizer/quantizer.h"
#include "var/transformer/transformer.h"

namespace terrace {

/// What trains in seconds.
inline VarConfig toy_config() {
  VarConfig c;
  c.depth = 2;
  c.embed_dim = 32;
  c.num_heads = 2;
  c.patch_nums = {1, 2, 3};
  c.vocab_size = 13;
  c.Cvae = 4;
  c.num_classes = 3;
  c.drop_path_rate = 0.2;
  c.cond_drop_rate = 0.1;
  c.adaln_gamma_init = 0.1;
  return c;
}

/// On the CPU, with the transformer's codes and pyramid.
inline Quantizer quantizer_for(const VarConfig& c, uint64_t seed) {
  Generator g(seed);
  return Quantizer({.vocab_size = c.vocab_size, .channels = c.Cvae, .patch_nums = c.patch_nums}, g);
}

struct SmallModels {
  VarConfig config;
  std::unique_ptr<VarTransformer> model;
  std::unique_ptr<Quantizer> quantizer;

  SmallModels() {
    config.depth = 2;
    config.embed_dim = 32;
    config.num_heads = 2;
    config.patch_nums = {1, 2, 4};
    config.vocab_size = 33;
    config.Cvae = 4;
    config.num_classes = 3;
    Generator g(11);
    model = std::make_unique<VarTransformer>(config, g);
    scale_head(50);  // away from the nearly silent start
    quantizer =
        std::make_unique<Quantizer>(QuantizerConfig{.vocab_size = 33, .channels = 4, .patch_nums = {1, 2, 4}}, g);
  }
  void scale_head(double factor) {
    model->head.weight.value().copy_(scale(Variable(model->head.weight.value()), factor).value());
  }
};

}  // namespace terrace
