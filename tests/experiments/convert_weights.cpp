// convert_weights as a user runs it.
#include <algorithm>

#include "data/formats/open_tensor_file.h"
#include "tests/support.h"

namespace terrace {
namespace {

CommandResult convert(const std::string& arguments) {
  return run_command(program_path("convert_weights").string() + " " + arguments);
}

std::string golden(const std::string& name) { return GoldenFile(name).path(); }

TEST(ConvertWeights, ListsNamesTypesAndShapes) {
  const CommandResult all = convert(golden("pth_misc.pth") + " --list");
  EXPECT_EQ(all.status, 0) << all.output;
  for (const char* text :
       {"tensors/transposed  f32   (5, 6)\n", "tensors/bfloat16    bf16  (5,)\n", "(PyTorch zip): 20 tensors, "}) {
    EXPECT_NE(all.output.find(text), std::string::npos) << text << "\nin\n" << all.output;
  }
  const CommandResult part = convert(golden("var_tiny_ckpt.pth") + " --list --prefix trainer/vae_local");
  EXPECT_NE(part.output.find("\nquantize.embedding.weight "), std::string::npos) << part.output;
  EXPECT_EQ(part.output.find("pos_start"), std::string::npos) << part.output;
}

TEST(ConvertWeights, FromPyTorchThroughEveryFormat) {
  const TemporaryFolder folder;
  const TensorFile original = open_tensor_file(golden("var_tiny.pth"));
  std::string in = golden("var_tiny_ckpt.pth") + " --prefix trainer/var_wo_ddp";
  for (const char* name : {"a.safetensors", "b.h5", "c.npz", "d.pt", "e.safetensors"}) {
    const CommandResult result = convert(in + " " + folder / name);
    ASSERT_EQ(result.status, 0) << result.output;
    EXPECT_NE(result.output.find("VAR transformer"), std::string::npos) << result.output;
    in = folder / name;
  }
  const TensorFile last = open_tensor_file(folder / "e.safetensors");
  EXPECT_EQ(last.entries().size(), original.entries().size());
  for (const TensorEntry& entry : original.entries()) { EXPECT_SAME(last.read(entry.name), original.read(entry.name)); }
  EXPECT_EQ(convert(in + " " + folder / "f.safetensors --dtype bf16").status, 0);
  EXPECT_EQ(open_tensor_file(folder / "f.safetensors").entry("head.bias").dtype, DType::kBF16);
}

TEST(ConvertWeights, AFileIsReplacedOnRequestAlone) {
  const TemporaryFolder folder;
  const std::string out = folder / "a.npz";
  ASSERT_EQ(convert(golden("var_tiny.pth") + " " + out).status, 0);
  const CommandResult again = convert(golden("var_tiny.pth") + " " + out);
  EXPECT_EQ(again.status, 2);
  EXPECT_EQ(again.output, "convert_weights: error: " + out +
                              " is there already; add --overwrite to replace it, or give another name\n");
  EXPECT_EQ(convert(golden("var_tiny.pth") + " " + out + " --overwrite").status, 0);
}

TEST(ConvertWeights, RefusesInOneLine) {
  const TemporaryFolder folder;
  const std::pair<std::string, const char*> cases[] = {
      {golden("var_tiny.pth"), "convert_weights: give a file to write, or --list"},
      {golden("var_tiny.pth") + " " + folder / "x.bin", "its ending must be .safetensors, .npz, .pth or .pt"},
      {golden("README.md") + " --list", "not a file of tensors that is known"},
      {golden("var_tiny.pth") + " " + folder / "x.npz --dtype bf16", "npz: NumPy has no bf16"},
      {folder / "none.pth --list", "none.pth: No such file or directory"}};
  for (const auto& [arguments, text] : cases) {
    const CommandResult result = convert(arguments);
    EXPECT_EQ(result.status, 2) << result.output;
    EXPECT_NE(result.output.find(text), std::string::npos) << result.output;
    EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), 1) << result.output;
  }
}

}  // namespace
}  // namespace terrace
