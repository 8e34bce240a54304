// A transformer and a quantizer that sample in milliseconds.
#pragma once

#include <memory>

#include "autograd/functions.h"
#include "var/quantizer.h"
#include "var/transformer.h"

namespace terrace {

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
