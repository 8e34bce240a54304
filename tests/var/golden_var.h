// The tiny transformers of the golden fixtures, for the tests of the model and the sampler.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support.h"
#include "var/transformer.h"

namespace terrace {

inline VarConfig golden_config(const GoldenFile& golden) {
  const auto j = nlohmann::json::parse(golden.attribute("", "config"));
  VarConfig c;
  c.depth = j.at("depth");
  c.embed_dim = j.at("embed_dim");
  c.num_heads = j.at("num_heads");
  c.mlp_ratio = j.at("mlp_ratio");
  c.norm_eps = j.at("norm_eps");
  c.attn_l2_norm = j.at("attn_l2_norm");
  c.shared_aln = j.at("shared_aln");
  c.patch_nums = j.at("patch_nums").get<std::vector<int64_t>>();
  c.vocab_size = j.at("vocab_size");
  c.Cvae = j.at("Cvae");
  c.num_classes = j.at("num_classes");
  c.cond_drop_rate = j.at("cond_drop_rate");
  c.drop_path_rate = j.at("drop_path_rate");
  c.drop_rate = j.at("drop_rate");
  return c;
}

inline State golden_state(const GoldenFile& golden) {
  State state;
  for (const std::string& name : golden.list("state_dict")) state[name] = golden.read("state_dict/" + name);
  return state;
}

/// With the fixture's weights. The dense mask is the only entry that the model has no use for.
inline std::unique_ptr<VarTransformer> golden_transformer(const GoldenFile& golden) {
  Generator g(1);
  auto model = std::make_unique<VarTransformer>(golden_config(golden), g);
  model->load_state(golden_state(golden), {"attn_bias_for_masking"});
  return model;
}

}  // namespace terrace
