// What inspect_pe computes from tables.
#include "experiments/inspection/inspect.h"

#include "data/formats/open_tensor_file.h"
#include "tests/support.h"

namespace terrace {
namespace {

TEST(Inspect, DriftIsRelativeToTheInitialLength) {
  const Tensor a = Tensor::from(std::vector<float>{3, 4, 0, 0, 1, 0}, {3, 2});
  const Tensor b = Tensor::from(std::vector<float>{3, 4, 0, 0, 1, 2}, {3, 2});
  EXPECT_EQ(relative_drift(a, b), (std::vector<double>{0, 0, 2}));
  expect_error<ShapeError>([&] { relative_drift(a, Tensor::zeros({3, 3})); }, "relative_drift");
}

TEST(Inspect, MosaicShowsEachPositionBrightestAtItself) {
  // One-hot rows: each position is similar to itself alone.
  Tensor table = Tensor::zeros({5, 4});
  for (int64_t i = 0; i < 4; ++i) { table.data<float>()[(i + 1) * 4 + i] = 1; }
  const Tensor mosaic = similarity_mosaic(table, 1, 2, 0, 4);
  EXPECT_EQ(mosaic.shape(), Shape({7, 7, 3}));  // 2 x 2 blocks of 2 x 2 and 3 pixels between
  const auto brightness = [&](int64_t y, int64_t x) { return mosaic.select(0, y).select(0, x).to_vector<int>()[1]; };
  EXPECT_GT(brightness(0, 0), 200);  // block (0, 0) at (0, 0)
  EXPECT_LT(brightness(0, 1), 50);
  EXPECT_GT(brightness(0, 6), 200);  // block (0, 1) at (0, 1)
  EXPECT_GT(brightness(6, 6), 200);
  EXPECT_LT(brightness(5, 5), 50);
}

TEST(Inspect, OfficialFilesShowTheirTables) {
  const TensorFile file = open_tensor_file(GoldenFile("var_tiny.pth").path());
  for (const char* name : {"var_tiny.pth", "var_tiny_legacy.pth", "var_tiny.safetensors", "var_tiny_ckpt.pth"}) {
    const Inspection inspection = inspect_checkpoint(GoldenFile(name).path());
    EXPECT_EQ(inspection.config.positions.kind, "learned") << name;
    EXPECT_SAME(inspection.table.view({1, 30, 64}), file.read("pos_1LC")) << name;
    EXPECT_SAME(inspection.start.view({1, 1, 64}), file.read("pos_start")) << name;
    EXPECT_SAME(inspection.levels, file.read("lvl_embed.weight")) << name;
    EXPECT_EQ(inspection.summary.size(), 3U) << name;
    EXPECT_FALSE(inspection.step || inspection.initial.defined() || inspection.initial_start.defined()) << name;
    const std::string html = inspection_report(inspection);
    EXPECT_NE(html.find("30 positions in 4 scales, 64 channels, as the file holds it."), std::string::npos) << html;
    EXPECT_NE(html.find("The file holds no values from before the training"), std::string::npos) << html;
    EXPECT_EQ(html.find("raining added"), std::string::npos);
    const Json j = inspection_json(inspection);
    EXPECT_TRUE(j["step"].is_null());
    EXPECT_FALSE(j.contains("start_drift") || j.contains("level_embedding_drift"));
  }
  expect_error<IoError>([] { inspect_checkpoint(GoldenFile("var_tiny_bf16.pth").path()); },
                        "holds several models (bf16/, fp16/); choose one with --prefix");
  EXPECT_SAME(inspect_checkpoint(GoldenFile("var_tiny_bf16.pth").path(), "bf16").start.view({1, 1, 64}),
              file.read("pos_start"));
  expect_error<IoError>([] { inspect_checkpoint(GoldenFile("vqvae_tiny.pth").path()); },
                        "holds no VAR transformer (no pos_start)");
}

TEST(Inspect, ReportOfATableWithoutALog) {
  Inspection inspection;
  inspection.source = "a.h5";
  inspection.config.patch_nums = {1, 2};
  inspection.table = random_tensor({5, 8}, 1);
  inspection.initial = random_tensor({5, 8}, 2);
  inspection.summary = {{"positions: learned", 0.5, true}};
  inspection.initial_levels = Tensor::full({2, 8}, 1);
  inspection.levels = Tensor::full({2, 8}, 3);
  inspection.initial_start = Tensor::full({1, 8}, 1);
  inspection.start = Tensor::full({1, 8}, 1.5);
  const std::string html = inspection_report(inspection);
  EXPECT_NE(html.find("start token: drift 0.5"), std::string::npos);
  EXPECT_NE(html.find("Drift"), std::string::npos);
  EXPECT_NE(html.find("all maps share one range of colours, from 0 (dark) to "), std::string::npos);
  EXPECT_NE(html.find(">drift, relative to the initial length</text></svg>"), std::string::npos) << "the colour bar";
  EXPECT_EQ(html.find("Gradients"), std::string::npos);
  const Json j = inspection_json(inspection);
  EXPECT_EQ(j["level_embedding_drift"], Json({2.0, 2.0}));
  EXPECT_EQ(j["start_drift"], 0.5);
  EXPECT_EQ(j["scales"][1]["relative_drift"].size(), 4U);
  EXPECT_TRUE(j["scales"][0]["neighbour_similarity"].is_null());
  EXPECT_EQ(html.find("0 throughout"), std::string::npos);
  inspection.table = inspection.initial;
  EXPECT_NE(inspection_report(inspection).find("What training added: 0 throughout."), std::string::npos);
  inspection.table = inspection.initial = Tensor();
  EXPECT_NE(inspection_report(inspection).find("adds no position table"), std::string::npos);
}

}  // namespace
}  // namespace terrace
