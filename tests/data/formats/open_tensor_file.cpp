// Files of tensors: every golden weight file against its HDF5 file, to the last bit.
#include "data/formats/open_tensor_file.h"

#include <nlohmann/json.hpp>

#include "data/hdf5/file.h"
#include "tests/support.h"

namespace terrace {
namespace {

TensorFile open_golden(const std::string& name) { return open_tensor_file(GoldenFile(name).path()); }

/// Every tensor of `group` of a fixture is in the file, and nothing else.
void expect_group(const TensorFile& file, const std::string& golden_name, const std::string& group) {
  const Hdf5File golden = Hdf5File::open(GoldenFile(golden_name).path());
  const std::vector<std::string> names = golden.walk(group);
  EXPECT_EQ(file.entries().size(), names.size());
  for (const std::string& name : names) {
    ASSERT_TRUE(file.has(name)) << name;
    const Tensor expected = golden.read(group + "/" + name);
    EXPECT_EQ(file.entry(name).shape, expected.shape()) << name;
    EXPECT_SAME(file.read(name), expected) << name;
  }
}

struct Case {
  const char *file, *prefix, *format, *golden;
};
class WeightFiles : public testing::TestWithParam<Case> {};

TEST_P(WeightFiles, AreTheStateDictToTheLastBit) {
  const Case& c = GetParam();
  const TensorFile file = open_golden(c.file);
  EXPECT_EQ(file.format(), c.format);
  expect_group(*c.prefix == '\0' ? file : file.subtree(c.prefix), c.golden, "state_dict");
}

INSTANTIATE_TEST_SUITE_P(Golden, WeightFiles,
                         testing::Values(Case{"var_tiny.pth", "", "PyTorch zip", "var_tiny.h5"},
                                         Case{"var_tiny_legacy.pth", "", "PyTorch legacy", "var_tiny.h5"},
                                         Case{"var_tiny.safetensors", "", "safetensors", "var_tiny.h5"},
                                         Case{"vqvae_tiny.pth", "", "PyTorch zip", "vqvae_tiny.h5"},
                                         Case{"var_tiny_ckpt.pth", "trainer/var_wo_ddp", "PyTorch zip", "var_tiny.h5"},
                                         Case{"var_tiny_ckpt.pth", "trainer.var_wo_ddp", "PyTorch zip", "var_tiny.h5"},
                                         Case{"train_ckpt_nano.pth", "trainer/var_wo_ddp", "PyTorch zip",
                                              "train_ckpt_nano.h5"},
                                         Case{"var_tiny.h5", "state_dict", "HDF5", "var_tiny.h5"}),
                         [](const auto& test) {
                           std::string name = cat(test.index, "_", test.param.file);
                           for (char& c : name) { c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_'; }
                           return name;
                         });

TEST(TensorFile, HalvesOfWeights) {
  const TensorFile file = open_golden("var_tiny_bf16.pth");
  const GoldenFile golden("var_tiny.h5");
  EXPECT_EQ(file.containers(), (std::vector<std::string>{"bf16", "fp16"}));
  for (const std::string& name : golden.list("state_dict")) {
    const Tensor expected = golden.read("state_dict/" + name);
    const Tensor bf16 = file.read("bf16/" + name), f16 = file.read("fp16/" + name);
    if (expected.dtype() == DType::kI64) {
      EXPECT_SAME(bf16, expected) << name;
      EXPECT_SAME(f16, expected) << name;
      continue;
    }
    EXPECT_EQ(bf16.dtype(), DType::kBF16);
    EXPECT_EQ(f16.dtype(), DType::kF16);
    EXPECT_SAME(bf16.to(DType::kF32), expected) << name;
    EXPECT_SAME(f16, expected.to(DType::kF16)) << name;
  }
}

// In var_tiny_ckpt.pth each tensor of the tokenizer is a view of the storage of the first tensor of its shape.
TEST(TensorFile, TensorsThatShareAStorage) {
  const TensorFile file = open_golden("var_tiny_ckpt.pth").subtree("trainer/vae_local");
  const TensorFile whole = open_golden("vqvae_tiny.pth");
  std::map<std::vector<int64_t>, std::string> first;  // name of the first tensor of each shape
  ASSERT_EQ(file.entries().size(), whole.entries().size());
  for (const TensorEntry& entry : whole.entries()) {
    const std::string& source = first.emplace(entry.shape.vector(), entry.name).first->second;
    EXPECT_SAME(file.read(entry.name), whole.read(source)) << entry.name;
  }
}

TEST(TensorFile, OddLayoutsAndPlainValues) {
  const GoldenFile golden("pth_misc.h5");
  for (const char* name : {"pth_misc.pth", "pth_misc_legacy.pth"}) {
    const TensorFile file = open_golden(name);
    for (const std::string& tensor : golden.list("tensors")) {
      std::string path = "tensors/" + tensor;
      if (tensor == "list_0") { path = "list/0"; }
      if (tensor == "nested.a.b.c") { path = "nested/a/b/c"; }
      const Tensor expected = golden.read("tensors/" + tensor);
      EXPECT_SAME(file.read(path, expected.dtype()), expected) << name << " " << path;
    }
    EXPECT_EQ(file.entry("tensors/bool").dtype, DType::kBool);
    EXPECT_EQ(file.entry("tensors/int8").dtype, DType::kI32);
    EXPECT_EQ(file.entry("tensors/empty").shape, (Shape{0, 3}));
    EXPECT_EQ(file.entry("tensors/scalar").shape, Shape{});
    const auto& values = file.metadata();
    const std::map<std::string, std::string> expected = {
        {"list/1", "3"},    {"list/2", "text"}, {"list/3", "None"},   {"list/4", "True"},
        {"list/5", "1.5"},  {"list/6", "-7"},   {"tuple/0", "1"},     {"list/7", "1099511627776"},
        {"tuple/1", "2.5"}, {"tuple/2", "x"},   {"unicode", "\u00e9"}};
    for (const auto& [path, text] : expected) { EXPECT_EQ(values.at(path), text) << name << " " << path; }
  }
}

TEST(TensorFile, ATrainingCheckpointWithItsOptimizer) {
  const TensorFile file = open_golden("train_ckpt_nano.pth");
  const GoldenFile golden("train_ckpt_nano.h5");
  const auto config = nlohmann::json::parse(golden.attribute("", "config"));
  EXPECT_EQ(file.metadata().at("epoch"), "3");
  EXPECT_EQ(file.metadata().at("trainer/config/last_prog_si"), "-1");
  int64_t place = 0;  // parameters are numbered in the order of the optimizer's groups
  for (const auto& group : config["groups"]) {
    for (const auto& parameter : group["params"]) {
      for (const std::string moment : {"exp_avg", "exp_avg_sq"}) {
        EXPECT_SAME(file.read(cat("trainer/var_opt/optimizer/state/", place, "/", moment)),
                    golden.read(moment + "/" + parameter.get<std::string>()))
            << parameter;
      }
      ++place;
    }
  }
  EXPECT_GT(place, 20);
}

TEST(TensorFile, ReadsRowsAndIntoTensors) {
  for (const char* name : {"pth_misc.pth", "pth_misc_legacy.pth"}) {
    const TensorFile file = open_golden(name);
    for (const char* tensor : {"tensors/transposed", "tensors/strided", "tensors/expanded", "tensors/int8"}) {
      const Tensor whole = file.read(tensor);
      EXPECT_SAME(file.read_rows(tensor, 1, 3), whole.slice(0, 1, 3).contiguous()) << tensor;
      EXPECT_EQ(file.read_rows(tensor, 2, 2).numel(), 0) << tensor;
    }
    Tensor target = Tensor::zeros({6, 5}, DType::kF64);
    Tensor view = target.transpose(0, 1);
    file.read_into("tensors/transposed", view);
    EXPECT_SAME(view.contiguous(), file.read("tensors/transposed", DType::kF64));
    Tensor same = Tensor::zeros({5, 6});
    file.read_into("tensors/transposed", same);
    EXPECT_SAME(same, file.read("tensors/transposed"));
    EXPECT_GT(same.version(), 0U);
    expect_error<ShapeError>([&] { file.read_into("tensors/strided", same); },
                             "tensor \"tensors/strided\" is (3, 3), not (5, 6)");
    expect_error<IndexError>([&] { file.read_rows("tensors/scalar", 0, 1); }, "rows [0, 1) of tensor");
    expect_error<IndexError>([&] { file.read_rows("tensors/strided", 2, 4); }, "rows [2, 4) of tensor");
  }
}

TEST(TensorFile, TellsWhatIsThere) {
  const TensorFile file = open_golden("var_tiny_ckpt.pth");
  expect_error<IoError>([&] { file.read("trainer/var_wo_ddp/pos_strt"); },
                        "no tensor \"trainer/var_wo_ddp/pos_strt\"; nearest names: trainer/var_wo_ddp/pos_start, ");
  expect_error<IoError>([&] { file.subtree("model"); },
                        "no tensors below \"model\"; there are trainer/var_wo_ddp, trainer/vae_local");
  expect_error<IoError>([&] { open_golden("var_tiny.pth").subtree("x"); },
                        "no tensors below \"x\"; all lie at the top");
  expect_error<IoError>([] { open_tensor_file("/nowhere/x.pth"); }, "cannot read /nowhere/x.pth: No such file");
  expect_error<IoError>([] { open_golden("README.md"); }, "not a file of tensors that is known");
  expect_error<IoError>([] { open_golden(""); }, "it is a folder");
}

}  // namespace
}  // namespace terrace
