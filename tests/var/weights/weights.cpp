// Weights into models: whatever file they come from, the model is the fixture's.
#include "var/weights/weights.h"

#include <iostream>

#include "data/formats/tensor_writer.h"
#include "data/hdf5/file.h"
#include "data/hdf5/kind.h"
#include "tests/support.h"
#include "tests/var/golden_var.h"
#include "var/positions/encodings.h"
#include "var/weights/checkpoint.h"
#include "var/weights/load.h"
#include "var/weights/official_code.h"
#include "var/weights/weight_export.h"

namespace terrace {
namespace {

std::string golden_path(const std::string& name) { return GoldenFile(name).path(); }

/// A file with these tensors.
void write_weights(const std::string& path, const std::vector<std::pair<std::string, Tensor>>& tensors) {
  std::vector<TensorEntry> entries;
  for (const auto& [name, value] : tensors) { entries.push_back({name, value.dtype(), value.shape()}); }
  const auto writer = create_tensor_file(path, entries);
  for (const auto& [name, value] : tensors) { writer->write(value); }
  writer->commit();
}

std::vector<std::pair<std::string, Tensor>> tensors_of(const TensorFile& file) {
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const TensorEntry& entry : file.entries()) { tensors.emplace_back(entry.name, file.read(entry.name)); }
  return tensors;
}

Tensor logits(VarTransformer& model) {
  const GoldenFile golden("var_tiny.h5");
  NoGrad no_grad;
  return model.forward(golden.read("inputs/label_B"), Variable(golden.read("inputs/x_BLCv_wo_first_l"))).value();
}

TEST(Weights, EveryFileGivesTheSameLogits) {
  const GoldenFile golden("var_tiny.h5");
  const Tensor expected = golden.read("outputs/logits_BLV");
  for (const char* name : {"var_tiny.pth", "var_tiny_legacy.pth", "var_tiny.safetensors", "var_tiny_ckpt.pth"}) {
    const LoadedTransformer loaded = load_transformer(golden_path(name));
    EXPECT_EQ(loaded.model->config().attn_l2_norm, true) << name;
    EXPECT_CLOSE(logits(*loaded.model), expected, 2e-5) << name;
  }
  const LoadedTransformer bf16 = load_transformer(golden_path("var_tiny_bf16.pth"), {.prefix = "bf16"});
  EXPECT_CLOSE(logits(*bf16.model), expected, 2e-5);  // the fixture's weights are exact in bf16
  expect_error<IoError>([] { load_transformer(golden_path("var_tiny_bf16.pth")); },
                        "holds several models (bf16/, fp16/); choose one with --prefix");
}

TEST(Weights, ConfigurationsAreReadOffTheShapes) {
  const VarConfig tiny =
      var_config_from_weights(find_weights(open_tensor_file(golden_path("var_tiny.pth")), WeightKind::kVar));
  EXPECT_EQ(tiny.depth, 2);
  EXPECT_EQ(tiny.embed_dim, 64);
  EXPECT_EQ(tiny.num_heads, 4);
  EXPECT_EQ(tiny.mlp_ratio, 4);
  EXPECT_EQ(tiny.patch_nums, (std::vector<int64_t>{1, 2, 3, 4}));
  EXPECT_EQ(tiny.vocab_size, 64);
  EXPECT_EQ(tiny.Cvae, 8);
  EXPECT_EQ(tiny.num_classes, 10);
  EXPECT_FALSE(tiny.shared_aln);
  const TensorFile saln = open_tensor_file(golden_path("var_tiny_saln.h5")).subtree("state_dict");
  testing::internal::CaptureStderr();
  EXPECT_EQ(var_config_from_weights(saln).num_heads, 1) << "width 64";
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            cat("terrace_tests: note: ", saln.path(),
                ": without attn_l2_norm the weights do not tell the number of heads; 1 are ",
                "taken, each 64 wide as in all released models; --heads overrides it\n"));
  testing::internal::CaptureStderr();
  const VarConfig shared = var_config_from_weights(saln, {.num_heads = 4});
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(shared.num_heads, 4);
  EXPECT_EQ(shared.depth, 3);
  EXPECT_TRUE(shared.shared_aln);
  EXPECT_FALSE(shared.attn_l2_norm);
  const VqvaeConfig vae =
      vqvae_config_from_weights(open_tensor_file(golden_path("vqvae_tiny.pth")), {.patch_nums = {1, 2, 3, 4}});
  EXPECT_EQ(vae.ch, 32);
  EXPECT_EQ(vae.ch_mult, (std::vector<int64_t>{1, 1, 1, 1, 1}));
  EXPECT_EQ(vae.num_res_blocks, 1);
  EXPECT_EQ(vae.z_channels, 8);
  EXPECT_EQ(vae.share_quant_resi, 4);
  EXPECT_TRUE(vae.using_sa);
  EXPECT_TRUE(vae.using_mid_sa);
}

TEST(Weights, HeadsOfAWidthThatNoReleasedModelHas) {
  const TemporaryFolder folder;
  auto tensors = tensors_of(open_tensor_file(golden_path("var_tiny.pth")));
  std::erase_if(tensors, [](const auto& entry) { return entry.first.ends_with("scale_mul_1H11"); });
  for (auto& [name, value] : tensors) {
    if (name == "pos_start") { value = Tensor::zeros({1, 1, 48}); }
  }
  write_weights(folder / "x.safetensors", tensors);
  const TensorFile weights = open_tensor_file(folder / "x.safetensors");
  expect_error<ConfigError>([&] { var_config_from_weights(weights); },
                            weights.path() +
                                ": the number of heads cannot be told from weights without scale_mul_1H11 (no "
                                "attn_l2_norm), and their width 48 is no multiple of 64, the width of a head in all "
                                "released models; give it with --heads");
  EXPECT_EQ(var_config_from_weights(weights, {.num_heads = 3}).num_heads, 3);
}

TEST(Weights, ATokenizerWithoutTrainingLoads) {
  const auto vae = load_vqvae(golden_path("vqvae_tiny.pth"), {.patch_nums = {1, 2, 3, 4}});
  const GoldenFile golden("vqvae_tiny.h5");
  EXPECT_NEAR_TENSOR(vae->reconstruct(golden.read("inputs/inp")), golden.read("outputs/img_3"), 1e-4);
  expect_error<ConfigError>(
      [] { load_vqvae(golden_path("vqvae_tiny.pth")); },
      "the tokenizer has 4 scales (ema_vocab_hit_SV), patch_nums (1, 2, 3, 4, 5, 6, 8, 10, 13, 16), "
      "the official ones, are 10; give its own with --patch-nums");
}

TEST(Weights, AllNamesThatDoNotFitAreToldAtOnce) {
  const TemporaryFolder folder;
  auto tensors = tensors_of(open_tensor_file(golden_path("var_tiny.pth")));
  for (auto& [name, value] : tensors) {
    if (name == "blocks.0.attn.q_bias") { name = "blocks.0.attn.qq_bias"; }
    if (name == "head.bias") { value = Tensor::zeros({3}); }
  }
  tensors.emplace_back("zeta", Tensor::zeros({1}));
  write_weights(folder / "x.safetensors", tensors);
  const std::string expected =
      folder /
      "x.safetensors: the names do not fit what is being loaded into: 1 missing (blocks.0.attn.q_bias [there is "
      "blocks.0.attn.qq_bias]); 2 extra (blocks.0.attn.qq_bias, zeta); 1 of another shape (head.bias is (3,), "
      "not (64,)); was it saved with another configuration?";
  expect_error<ConfigError>([&] { load_transformer(folder / "x.safetensors"); }, expected);
}

TEST(Weights, BuffersAreCheckedAndMayBeMissing) {
  const TemporaryFolder folder;
  const auto all = tensors_of(open_tensor_file(golden_path("var_tiny.pth")));
  auto tensors = all;
  for (auto& [name, value] : tensors) {
    if (name == "blocks.1.attn.zero_k_bias") { value = Tensor::full({64}, 1); }
  }
  write_weights(folder / "bias.safetensors", tensors);
  expect_error<ConfigError>([&] { load_transformer(folder / "bias.safetensors"); },
                            "blocks.1.attn.zero_k_bias is not zero: not the weights of a VAR");

  VarConfig other = var_config_from_weights(open_tensor_file(golden_path("var_tiny.pth")));
  other.patch_nums = {1, 2, 5};
  Generator g(0);
  VarTransformer model(other, g);
  expect_error<ConfigError>([&] { load_var_weights(model, open_tensor_file(golden_path("var_tiny.pth"))); },
                            "lvl_1L belongs to patch_nums (1, 2, 3, 4), the model has (1, 2, 5)");

  tensors = all;
  std::erase_if(tensors, [](const auto& entry) {
    return entry.first.ends_with("zero_k_bias") || entry.first == "attn_bias_for_masking";
  });
  for (auto& [name, value] : tensors) { name = "module." + name; }
  write_weights(folder / "bare.pth", tensors);
  EXPECT_CLOSE(logits(*load_transformer(folder / "bare.pth").model),
               GoldenFile("var_tiny.h5").read("outputs/logits_BLV"), 2e-5);
}

TEST(Weights, NotANumberIsReported) {
  const TemporaryFolder folder;
  auto tensors = tensors_of(open_tensor_file(golden_path("var_tiny.pth")));
  for (auto& [name, value] : tensors) {
    if (name == "head.bias") { value.slice(0, 3, 4).fill_(std::nan("")); }
    if (name == "pos_start") { value.fill_(std::numeric_limits<double>::infinity()); }
  }
  write_weights(folder / "nan.pth", tensors);
  testing::internal::CaptureStderr();
  load_transformer(folder / "nan.pth");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "warning: " + folder / "nan.pth" + ": NaN or infinite values in pos_start, head.bias\n");
}

TEST(Weights, ATokenizerOfAnotherModelIsRefused) {
  const VarConfig var = var_config_from_weights(open_tensor_file(golden_path("var_tiny.pth")));
  VqvaeConfig vae =
      vqvae_config_from_weights(open_tensor_file(golden_path("vqvae_tiny.pth")), {.patch_nums = var.patch_nums});
  check_tokenizer_fits(var, vae);
  vae.patch_nums = {1, 2, 4};
  vae.z_channels = 16;
  expect_error<ConfigError>(
      [&] { check_tokenizer_fits(var, vae); },
      "the tokenizer does not fit the transformer: its patch_nums is (1, 2, 4), the transformer's "
      "(1, 2, 3, 4); z_channels (Cvae) is 16, the transformer's 8");
}

TEST(Weights, WhatAFileHoldsIsTold) {
  expect_error<IoError>([] { load_transformer(golden_path("vqvae_tiny.pth")); },
                        "holds no VAR transformer (no pos_start)");
  expect_error<IoError>([] { load_vqvae(golden_path("var_tiny.pth")); },
                        "holds no tokenizer (no quantize.embedding.weight)");
  expect_error<ConfigError>(
      [] {
        patch_nums_of_levels(Tensor::from(std::vector<int64_t>{0, 1, 1}, {1, 3}), "x");
      },
      "x: lvl_1L is not the levels of square scales: level 1 has 2 tokens");
}

TEST(Weights, ConfigurationsTakeNumbersAsTheyAre) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"depth": 2.5})", "depth has the wrong type: 2.5"},
      {R"({"depth": 18446744073709551615})", "depth has the wrong type"},
      {R"({"patch_nums": [1, 1e60]})", "patch_nums has the wrong type"},
      {R"({"patch_nums": [1, 4294967296]})", "must be at most 32768"},
      {R"({"norm_eps": 1e444})", "not valid JSON"}};
  for (const auto& [text, error] : cases) {
    expect_error<ConfigError>([&, &text = text] { var_config_from_text(text); }, error);
  }
  expect_error<ConfigError>([] { vqvae_config_from_text(R"({"ch_mult": [1, 2.5]})"); },
                            "ch_mult has the wrong type: [1,2.5]");
  expect_error<ConfigError>([] { vqvae_config_from_text(R"({"ch": 99999999})").validate(); }, "ch: must be at most");
}

// --- Export ---

TEST(WeightExport, KeepsEveryTensorAndAddsTheOfficialBuffers) {
  const TemporaryFolder folder;
  const TensorFile original = open_tensor_file(golden_path("var_tiny.pth"));
  export_weights(golden_path("var_tiny.pth"), folder / "a.h5", {});
  for (const char* name : {"b.safetensors", "b.pth", "b.npz"}) {
    const ExportReport report = export_weights(folder / "a.h5", folder / name, {});
    EXPECT_EQ(report.what, "VAR transformer");
    const TensorFile file = open_tensor_file(folder / name);
    ASSERT_EQ(file.entries().size(), original.entries().size()) << name;
    for (const TensorEntry& entry : original.entries()) {
      EXPECT_SAME(file.read(entry.name), original.read(entry.name)) << name << " " << entry.name;
    }
    EXPECT_CLOSE(logits(*load_transformer(folder / name).model), GoldenFile("var_tiny.h5").read("outputs/logits_BLV"),
                 2e-5);
  }
  EXPECT_CLOSE(logits(*load_transformer(folder / "a.h5").model), GoldenFile("var_tiny.h5").read("outputs/logits_BLV"),
               2e-5);
}

TEST(WeightExport, ConvertsTypesAndChoosesParts) {
  const TemporaryFolder folder;
  export_weights(golden_path("var_tiny_ckpt.pth"), folder / "x.safetensors",
                 {.source = {.prefix = "trainer/var_wo_ddp"}, .dtype = DType::kBF16});
  const TensorFile file = open_tensor_file(folder / "x.safetensors");
  EXPECT_EQ(file.entry("head.weight").dtype, DType::kBF16);
  EXPECT_EQ(file.entry("lvl_1L").dtype, DType::kI64);
  EXPECT_SAME(file.read("head.weight", DType::kF32), GoldenFile("var_tiny.h5").read("state_dict/head.weight"));
  expect_error<ConfigError>([&] { export_weights(golden_path("var_tiny_ckpt.pth"), folder / "y.pth", {}); },
                            "holds a transformer and a tokenizer; choose one with --prefix");
  expect_error<ConfigError>([&] { export_weights(golden_path("pth_misc.pth"), folder / "y.h5", {}); },
                            "is neither a transformer nor a tokenizer, so that it makes no checkpoint");
  EXPECT_EQ(export_weights(golden_path("pth_misc.pth"), folder / "y.safetensors", {}).what, "");
}

TEST(WeightExport, TokenizersOfOurOwnKeepTheirConfiguration) {
  const TemporaryFolder folder;
  export_weights(golden_path("vqvae_tiny.pth"), folder / "a.h5", {.source = {.patch_nums = {1, 2, 3, 4}}, .dtype = {}});
  const GoldenFile golden("vqvae_tiny.h5");
  for (const char* name : {"a.h5", "b.safetensors", "b.pth", "b.npz"}) {
    if (name != std::string("a.h5")) { export_weights(folder / "a.h5", folder / name, {}); }
    const auto vae = load_vqvae(folder / name);
    EXPECT_NEAR_TENSOR(vae->reconstruct(golden.read("inputs/inp")), golden.read("outputs/img_3"), 1e-4) << name;
  }
  VqvaeConfig own = vqvae_preset32();
  Generator g(1);
  const Vqvae vqvae(own, g);
  const State state = vqvae.state();
  std::vector<TensorEntry> entries;
  for (const auto& [tensor, value] : state) { entries.push_back({tensor, value.dtype(), value.shape()}); }
  const auto writer =
      create_tensor_file(folder / "own.safetensors", entries, {{"terrace_kind", "vqvae"}, {"config", to_text(own)}});
  for (const auto& [tensor, value] : state) { writer->write(value); }
  writer->commit();
  for (const char* name : {"own.pth", "own.npz", "own.h5"}) {
    export_weights(folder / "own.safetensors", folder / name, {});
    const auto loaded = load_vqvae(folder / name);
    EXPECT_EQ(loaded->config(), own) << name;
    for (const auto& [tensor, value] : loaded->state()) { EXPECT_SAME(value, state.at(tensor)) << name; }
  }
  // Saved again by a program that keeps the tensors alone.
  write_weights(folder / "plain.pth", tensors_of(open_tensor_file(folder / "own.pth")));
  expect_error<ConfigError>([&] { load_vqvae(folder / "plain.pth", {.patch_nums = own.patch_nums}); },
                            folder / "plain.pth" +
                                ": its shapes are not those of a released model, and there is no configuration beside "
                                "them, which convert_weights keeps in every format: ch_mult: ch * mult = 16 * 1 must "
                                "be a positive multiple of "
                                "norm_groups = 32");
}

TEST(WeightExport, EveryEncodingAndTheClassNamesSurviveEveryFormat) {
  const TemporaryFolder folder;
  const std::vector<std::string> names = {"a \"b\"", "\u00e4pple", ""};
  for (const std::string& kind : encoding_names()) {
    VarConfig config;
    config.depth = 1;
    config.embed_dim = 16;
    config.num_heads = 2;
    config.patch_nums = {1, 2};
    config.num_classes = 3;
    config.vocab_size = 8;
    config.Cvae = 4;
    config.positions = {.kind = kind, .learned_weight = 0.6, .scale = 0.1};
    config.positions.level_embedding = kind != "none";
    Generator g(1);
    const VarTransformer model(config, g);
    {
      Hdf5File file = Hdf5File::create(folder / "a.h5");
      write_kind(file, "var");
      file.write_attr_string("/", "config", to_text(config));
      file.write_attr_string("/", "tokenizer_hash", "0123");
      file.write_attr_int("/", "step", 7);
      file.write_strings("class_names", names);
      write_state(file, "model", model.state());
      file.commit();
    }
    std::string in = "a.h5";
    for (const char* out : {"b.pth", "b.npz", "b.safetensors", "b.h5"}) {  // each from the one before it
      const ExportReport report = export_weights(folder / in, folder / out, {});
      EXPECT_EQ(report.missing_in_official_code,
                out == std::string("b.h5") ? std::vector<std::string>() : missing_in_official_code(config));
      const LoadedTransformer loaded = load_transformer(folder / out);
      EXPECT_EQ(loaded.model->config(), config) << kind << " " << out;
      EXPECT_EQ(loaded.class_names, names) << kind << " " << out;
      EXPECT_EQ(loaded.tokenizer_hash, "0123") << kind << " " << out;
      for (const auto& [name, value] : model.state()) { EXPECT_SAME(loaded.model->state().at(name), value) << name; }
      in = out;
    }
  }
}

TEST(WeightExport, WeightsAreToldFromTheRest) {
  EXPECT_EQ(weight_prefixes(open_tensor_file(golden_path("var_tiny.pth"))), (std::vector<std::string>{""}));
  EXPECT_EQ(weight_prefixes(open_tensor_file(golden_path("var_tiny_ckpt.pth"))),
            (std::vector<std::string>{"trainer/var_wo_ddp/", "trainer/vae_local/"}));
  EXPECT_EQ(weight_prefixes(open_tensor_file(golden_path("var_tiny_bf16.pth"))),
            (std::vector<std::string>{"bf16/", "fp16/"}));
  EXPECT_EQ(weight_prefixes(open_tensor_file(golden_path("pth_misc.pth"))), (std::vector<std::string>{}));
}

}  // namespace
}  // namespace terrace
