// Logits as sampling computes them, scale by scale through the cache of keys and values, of tokens that are given.
#pragma once

#include "autograd/functions.h"
#include "var/transformer/transformer.h"

namespace terrace {

/// (B, L, V) for labels (B) and input (B, L - 1, Cvae): what VarTransformer::forward gives.
inline Tensor scale_logits(VarTransformer& model, const Tensor& labels, const Tensor& input) {
  const NoGrad no_grad;
  const Conditions c = model.conditions(labels);
  KeyValueCache cache = model.make_cache(labels.dim(0));
  const Pyramid& pyramid = model.pyramid();
  std::vector<Variable> logits;
  for (int64_t s = 0; s < pyramid.scales(); ++s) {
    const int64_t first = pyramid.end(0);
    const Tensor part =
        s == 0 ? Tensor() : input.slice(1, pyramid.begin(s) - first, pyramid.end(s) - first).contiguous();
    logits.emplace_back(model.next_scale(s, part, c, cache));
  }
  return concat(logits, 1).value();
}

}  // namespace terrace
