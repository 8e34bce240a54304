#include "var/presets.h"

#include "tests/support.h"
#include "var/transformer/transformer.h"

namespace terrace {
namespace {

/// Parameters without making them, by the released model's formula: per block 18 C^2 of matrices (6 of them adaLN's,
/// where it is the block's own), vectors, and what surrounds the blocks.
int64_t expected_parameters(const VarConfig& c) {
  const int64_t C = c.embed_dim, S = static_cast<int64_t>(c.patch_nums.size());
  const int64_t attention = 4 * C * C + 3 * C + (c.attn_l2_norm ? c.num_heads : 0);
  const int64_t mlp = 8 * C * C + 5 * C;
  const int64_t adaln = c.shared_aln ? 6 * C : 6 * C * C + 6 * C;
  const int64_t around = C * c.Cvae + C + (c.num_classes + 1) * C + C + c.length() * C + S * C + 2 * C * C + 2 * C +
                         c.vocab_size * C + c.vocab_size + (c.shared_aln ? 6 * C * C + 6 * C : 0);
  return c.depth * (attention + mlp + adaln) + around;
}

TEST(Presets, AreTheReleasedModels) {
  struct Released {
    const char* name;
    int64_t depth, tokens;
    double gamma, millions;  // the parameters that the paper and the model cards round to
  };
  for (const Released& r : {Released{"var-d16", 16, 680, 1e-3, 310},
                            {"var-d20", 20, 680, 1e-3, 600},
                            {"var-d24", 24, 680, 1e-4, 1030},
                            {"var-d30", 30, 680, 1e-5, 2010},
                            {"var-d36", 36, 2240, 5e-6, 2350}}) {
    SCOPED_TRACE(r.name);
    const VarConfig c = var_preset(r.name);
    c.validate();
    EXPECT_EQ(c.depth, r.depth);
    EXPECT_EQ(c.embed_dim, 64 * r.depth);
    EXPECT_EQ(c.num_heads, r.depth);
    EXPECT_EQ(c.length(), r.tokens);
    EXPECT_EQ(c.num_classes, 1000);
    EXPECT_EQ(c.vocab_size, 4096);
    EXPECT_EQ(c.Cvae, 32);
    EXPECT_TRUE(c.attn_l2_norm);
    EXPECT_EQ(c.shared_aln, r.depth == 36);
    EXPECT_EQ(c.adaln_gamma_init, r.gamma);
    EXPECT_NEAR(c.last_drop_path(), static_cast<double>(r.depth) / 240, 1e-12);
    EXPECT_NEAR(static_cast<double>(expected_parameters(c)) / 1e6, r.millions, 0.02 * r.millions);
  }
}

TEST(Presets, CountParametersAsTheModelsDo) {
  for (const bool shared : {false, true}) {
    VarConfig c = var_preset(shared ? "var-d36" : "var-d16");
    c.depth = 2;
    c.embed_dim = 32;
    c.num_heads = 2;
    Generator g(1);
    EXPECT_EQ(VarTransformer(c, g).parameter_count(), expected_parameters(c));
  }
}

TEST(Presets, TokenizersFitTheirTransformers) {
  const VqvaeConfig tokenizer = vqvae_preset("vae-ch160v4096z32");
  tokenizer.validate();
  const VarConfig d16 = var_preset("var-d16");
  EXPECT_EQ(tokenizer.patch_nums, d16.patch_nums);
  EXPECT_EQ(tokenizer.vocab_size, d16.vocab_size);
  EXPECT_EQ(tokenizer.z_channels, d16.Cvae);
  EXPECT_EQ(tokenizer.image_size(), 256);
  EXPECT_EQ(vqvae_preset("vqvae-32px").patch_nums, var_preset("var-32px").patch_nums);
}

TEST(Presets, ListTheNamesWhereOneIsUnknown) {
  for (const std::string& name : var_preset_names()) { EXPECT_NO_THROW(var_preset(name)) << name; }
  for (const std::string& name : vqvae_preset_names()) { EXPECT_NO_THROW(vqvae_preset(name)) << name; }
  expect_error<ConfigError>(
      [] { var_preset("var-d17"); },
      "model 'var-d17' is not known; there are var-32px, var-d16, var-d20, var-d24, var-d30, var-d36");
  expect_error<ConfigError>([] { vqvae_preset("vqgan"); },
                            "tokenizer 'vqgan' is not known; there are vqvae-32px, vae-ch160v4096z32");
}

}  // namespace
}  // namespace terrace
