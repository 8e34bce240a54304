// Folders of runs in place of checkpoints, and what lies beside weights.
#include "var/weights/checkpoint.h"

#include <filesystem>

#include "data/files/atomic_file.h"
#include "data/formats/tensor_writer.h"
#include "tests/support.h"

namespace terrace {
namespace {

TEST(Checkpoint, AFolderStandsForTheCheckpointInIt) {
  const TemporaryFolder folder;
  EXPECT_EQ(checkpoint_file(folder / "none.pth"), folder / "none.pth");  // for the reader to say that it is not there
  std::filesystem::create_directories(folder / "runs/var");
  expect_error<IoError>([&] { checkpoint_file(folder / "runs/var"); },
                        folder / "runs/var" +
                            ": the folder holds no checkpoint.h5, which train_vqvae and train_var leave in theirs; it "
                            "is empty");
  write_file(folder / "runs/var/run.json", "{}");
  write_file(folder / "runs/var/grid.png", "");
  expect_error<IoError>([&] { checkpoint_file(folder / "runs/var"); }, "; it holds grid.png, run.json");
  write_file(folder / "runs/var/checkpoint.h5", "");
  EXPECT_EQ(checkpoint_file(folder / "runs/var"), folder / "runs/var/checkpoint.h5");
  EXPECT_EQ(checkpoint_file(folder / "runs/var/checkpoint.h5"), folder / "runs/var/checkpoint.h5");
  expect_error<IoError>([&] { checkpoint_file(folder / "runs"); }, "; there are runs in " + folder / "runs/var");
}

TEST(Checkpoint, ClassNamesAreAListOfTexts) {
  const TemporaryFolder folder;
  const auto written = [&](const std::map<std::string, std::string>& metadata) {
    const auto writer = create_tensor_file(folder / "x.safetensors", {{"a", DType::kF32, {}}}, metadata);
    writer->write(Tensor::scalar(1));
    writer->commit();
    return open_tensor_file(folder / "x.safetensors");
  };
  EXPECT_EQ(stored_class_names(written({{"terrace_kind", "var"}, {"class_names", R"(["a","b"])"}})),
            (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(stored_class_names(written({{"class_names", "of somebody else"}})), std::vector<std::string>());
  for (const char* text : {"a,b", "[1]", "{}"}) {
    const TensorFile file = written({{"terrace_kind", "var"}, {"class_names", text}});
    expect_error<IoError>([&] { stored_class_names(file); },
                          file.path() + ": class_names is not a JSON list of texts: " + text);
  }
}

}  // namespace
}  // namespace terrace
