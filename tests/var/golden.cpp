// The golden fixtures of the models: transformer, tokenizer, quantizer, generation.
#include "tests/golden.h"

#include "tests/support.h"

namespace terrace {
namespace {

TEST(GoldenModels, Transformer) { expect_golden("var_tiny.h5"); }
TEST(GoldenModels, TransformerWithSharedAdaLn) { expect_golden("var_tiny_saln.h5"); }
TEST(GoldenModels, TransformerAtTheOfficialScales) { expect_golden("procedural_var.h5"); }
TEST(GoldenModels, TransformerWithoutL2NormOnAnotherPyramid) { expect_golden("var_variant_plain.h5"); }
TEST(GoldenModels, TransformerWithSharedAdaLnAndL2Norm) { expect_golden("var_variant_saln_l2.h5"); }
TEST(GoldenModels, TransformerByAnotherRecipe) { expect_golden("var_variant_recipe.h5"); }

TEST(GoldenModels, Tokenizer) { expect_golden("vqvae_tiny.h5"); }
TEST(GoldenModels, TokenizerOfTheOfficialLayout) { expect_golden("procedural_vqvae.h5"); }
TEST(GoldenModels, TokenizerByCosineWithAPhiPerScale) { expect_golden("vqvae_variant_znorm.h5"); }
TEST(GoldenModels, TokenizerByAnotherRecipe) { expect_golden("vqvae_variant_recipe.h5"); }

TEST(GoldenModels, Quantizers) { expect_golden("quant_variants.h5"); }
TEST(GoldenModels, QuantizersOfOtherPyramids) { expect_golden("quant_other_variants.h5"); }

TEST(GoldenModels, GreedyGenerationAndFilters) { expect_golden("sample_greedy.h5"); }
TEST(GoldenModels, GreedyGenerationOfOtherModels) { expect_golden("sample_variant.h5"); }

}  // namespace
}  // namespace terrace
