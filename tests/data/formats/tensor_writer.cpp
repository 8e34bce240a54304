#include "data/formats/tensor_writer.h"

#include <filesystem>

#include "data/formats/open_tensor_file.h"
#include "tests/support.h"

namespace terrace {
namespace {

const std::vector<std::string> kEndings = {".safetensors", ".npz", ".pth"};

std::vector<std::pair<std::string, Tensor>> samples(const std::string& ending) {
  std::vector<std::pair<std::string, Tensor>> tensors = {{"blocks.0.weight", random_tensor({3, 5, 7}, 1)},
                                                         {"scalar", Tensor::scalar(2.5)},
                                                         {"empty", Tensor::zeros({0, 4})},
                                                         {"half", random_tensor({33}, 2).to(DType::kF16)},
                                                         {"double", random_tensor({2, 2}, 3, -1, 1, DType::kF64)},
                                                         {"long", Tensor::arange(9)},
                                                         {"int", Tensor::arange(5, DType::kI32)},
                                                         {"byte", Tensor::arange(200, DType::kU8)},
                                                         {"bool", Tensor::full({2}, 1, DType::kBool)},
                                                         {"strided", random_tensor({6, 4}, 4).transpose(0, 1)}};
  if (ending != ".npz") { tensors.emplace_back("brain", random_tensor({4, 3}, 5).to(DType::kBF16)); }
  return tensors;
}

TEST(TensorWriter, WhatIsWrittenReadsBack) {
  const TemporaryFolder folder;
  for (const std::string& ending : kEndings) {
    const auto tensors = samples(ending);
    std::vector<TensorEntry> entries;
    for (const auto& [name, value] : tensors) { entries.push_back({name, value.dtype(), value.shape()}); }
    for (const char* file : {"a", "b"}) {
      const auto writer = create_tensor_file(folder / (file + ending), entries, {{"format", "pt"}});
      for (const auto& [name, value] : tensors) { writer->write(value); }
      writer->commit();
    }
    const TensorFile file = open_tensor_file(folder / ("a" + ending));
    ASSERT_EQ(file.entries().size(), tensors.size()) << ending;
    for (size_t i = 0; i < tensors.size(); ++i) {
      EXPECT_EQ(file.entries()[i].name, tensors[i].first) << ending;
      EXPECT_SAME(file.read(tensors[i].first), tensors[i].second) << ending << " " << tensors[i].first;
    }
    EXPECT_EQ(run_command("cmp " + folder / ("a" + ending) + " " + folder / ("b" + ending)).status, 0) << ending;
  }
}

TEST(TensorWriter, EveryFormatKeepsMetadata) {
  const TemporaryFolder folder;
  const std::map<std::string, std::string> metadata = {{"class_names", "[\"\u00e4pple\",\"b\"]"}, {"config", "{}"}};
  for (const std::string& ending : kEndings) {
    const auto writer = create_tensor_file(folder / ("x" + ending), {{"a", DType::kF32, {2}}}, metadata);
    writer->write(Tensor::zeros({2}));
    writer->commit();
    const TensorFile file = open_tensor_file(folder / ("x" + ending));
    EXPECT_EQ(file.metadata(), metadata) << ending;
    EXPECT_EQ(file.entries().size(), 1U) << ending;
  }
}

TEST(TensorWriter, RefusesWhatWasNotDeclared) {
  const TemporaryFolder folder;
  for (const std::string& ending : kEndings) {
    const std::string path = folder / ("x" + ending);
    const std::vector<TensorEntry> entries = {{"a", DType::kF32, {2}}, {"b", DType::kF32, {3}}};
    const auto writer = create_tensor_file(path, entries);
    expect_error<ShapeError>([&] { writer->write(Tensor::zeros({3})); }, "write: a must be (2,), got (3,) f32 cpu");
    expect_error<DTypeError>([&] { writer->write(Tensor::zeros({2}, DType::kI64)); }, "write: a must be f32");
    writer->write(Tensor::zeros({2}));
    expect_error<IoError>([&] { writer->commit(); }, "1 tensors are missing, the first is \"b\"");
    EXPECT_FALSE(std::filesystem::exists(path));
    expect_error<IoError>([&] { create_tensor_file(path, {entries[0], entries[0]}); }, "two tensors are named \"a\"");
  }
  expect_error<ConfigError>([&] { create_tensor_file("x.bin", {}); }, "its ending must be .safetensors, .npz, .pth");
}

}  // namespace
}  // namespace terrace
