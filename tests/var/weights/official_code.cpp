// What the released code lacks for a model.
#include "var/weights/official_code.h"

#include "tests/support.h"
#include "var/presets.h"

namespace terrace {
namespace {

using Phrases = std::vector<std::string>;

TEST(OfficialCode, LoadsTheReleasedModels) {
  for (const std::string& name : var_preset_names()) {
    EXPECT_EQ(missing_in_official_code(var_preset(name)), Phrases()) << name;
  }
  EXPECT_EQ(missing_in_official_code(vqvae_preset("vae-ch160v4096z32")), Phrases());
}

TEST(OfficialCode, TablesThatItDoesNotHaveAreNamed) {
  VarConfig config = var_preset32();
  const auto of = [&](const char* kind) {
    config.positions.kind = kind;
    return missing_in_official_code(config);
  };
  EXPECT_EQ(of("learned-xavier"), Phrases());
  EXPECT_EQ(of("mixed"), Phrases({"it has no pos_fixed_1LC (--pe mixed)"}));
  EXPECT_EQ(of("sinusoid-1d"),
            Phrases({"it has no pos_fixed_1LC (--pe sinusoid-1d)", "it wants pos_1LC, not in --pe sinusoid-1d"}));
  config.positions.level_embedding = false;
  EXPECT_EQ(of("none"),
            Phrases({"it wants pos_1LC, not in --pe none", "it wants lvl_embed.weight, not in this model"}));
}

TEST(OfficialCode, ConstantsOfTheTokenizerAreNamed) {
  EXPECT_EQ(missing_in_official_code(vqvae_preset32()),
            Phrases({"its ch_mult is (1, 1, 2, 2, 4), here (1, 2, 2)", "its num_res_blocks is 2, here 1",
                     "its norm_groups is 32, here 8"}));
  VqvaeConfig config;
  config.using_mid_sa = false;
  config.norm_eps = 1e-5;
  EXPECT_EQ(missing_in_official_code(config),
            Phrases({"its using_mid_sa is true, here false", "its norm_eps is 1e-06, here 1e-05"}));
}

}  // namespace
}  // namespace terrace
