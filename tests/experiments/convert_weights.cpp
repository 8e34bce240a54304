// convert_weights as a user runs it.
#include <algorithm>
#include <filesystem>

#include "data/files/atomic_file.h"
#include "data/formats/open_tensor_file.h"
#include "tests/experiments/programs.h"

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

TEST(ConvertWeights, CountsTensorsOfNoModelOnce) {
  const TemporaryFolder folder;
  const CommandResult result = convert(golden("pth_misc.pth") + " " + folder / "y.safetensors");
  EXPECT_EQ(result.status, 0);
  EXPECT_TRUE(result.output.starts_with(folder / "y.safetensors" + ": 20 tensors, ")) << result.output;
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

TEST_F(Programs, ConvertWeightsTakesRunsToEveryFormat) {
  for (const char* format : {".pth", ".npz", ".safetensors", ".h5"}) {
    const std::string var = file("exported-var") + format, vqvae = file("exported-vqvae") + format;
    const CommandResult of_var = convert(file("var") + " " + var), of_vqvae = convert(file("vqvae") + " " + vqvae);
    expect_success(of_var);
    expect_success(of_vqvae);
    if (format != std::string(".h5")) {
      EXPECT_TRUE(of_var.output.starts_with("warning: " + var +
                                            ": the official code has to be changed before it loads this: it has no "
                                            "pos_fixed_1LC (--pe mixed)\n"))
          << of_var.output;
      EXPECT_NE(of_vqvae.output.find("its norm_groups is 32, here 8\n"), std::string::npos) << of_vqvae.output;
    }
    const std::string out = file("drawn-from-export") + format;
    expect_success(run("sample", "--checkpoint " + var + " --tokenizer " + vqvae +
                                     " --classes 'red disc top left' --count 1 --threads 1 --out " + out));
  }
  expect_success(run("sample", "--checkpoint " + file("var") + " --tokenizer " + file("vqvae") +
                                   " --classes 0 --count 1 --threads 1 --out " + file("drawn-from-run")));
  for (const char* format : {".pth", ".npz", ".safetensors", ".h5"}) {
    EXPECT_EQ(read_file(file("drawn-from-run") + "/grid.png"),
              read_file(file("drawn-from-export") + format + "/grid.png"))
        << format;
  }
}

TEST_F(Programs, ConvertWeightsListsWeightsAndTheRestOnRequest) {
  const CommandResult weights = convert(file("var") + " --list"), all = convert(file("var") + " --list --all");
  EXPECT_EQ(weights.output.find("optimizer/"), std::string::npos) << weights.output;
  EXPECT_NE(weights.output.find("model/pos_1LC "), std::string::npos) << weights.output;
  EXPECT_NE(weights.output.find("16 classes: red disc top left, "), std::string::npos) << weights.output;
  EXPECT_NE(weights.output.find(" more in initial, log, optimizer, listed by --all\n"), std::string::npos);
  const size_t weight = all.output.find("model/word_embed.weight "), rest = all.output.find("optimizer/exp_avg.");
  EXPECT_LT(weight, rest) << all.output;
  EXPECT_NE(rest, std::string::npos) << all.output;
  EXPECT_LT(weight, all.output.find("initial/")) << all.output;
}

TEST_F(Programs, FoldersOfRunsStandForTheirCheckpoints) {
  std::filesystem::create_directories(file("empty"));
  const std::string none = ": the folder holds no checkpoint.h5, which train_vqvae and train_var leave in theirs; ";
  for (const std::string& command :
       {"sample --checkpoint " + file("empty") + " --tokenizer " + file("vqvae") + " --classes 0 --out " + file("x"),
        "sample --checkpoint " + file("var") + " --tokenizer " + file("empty") + " --classes 0 --out " + file("x"),
        "reconstruct --tokenizer " + file("empty") + " " + file("data.h5") + " --out " + file("x"),
        "train_var --data " + file("data.h5") + " --tokenizer " + file("empty") + " --out " + file("x"),
        "inspect_pe " + file("empty") + " --out " + file("x"),
        "convert_weights " + file("empty") + " " + file("x.pth")}) {
    const size_t space = command.find(' ');
    expect_refusal(run(command.substr(0, space), command.substr(space)), file("empty") + none + "it is empty");
  }
  expect_refusal(run("inspect_pe", file("vqvae") + " --out " + file("x")),
                 file("vqvae/checkpoint.h5") + ": is of kind 'vqvae', expected 'var'");
  expect_success(run("reconstruct", file("data.h5") + " --limit 1 --threads 1 --tokenizer " + file("vqvae") +
                                        " --out " + file("reconstructed-by-run")));
  expect_success(run("inspect_pe", file("var") + " --out " + file("inspected-run")));
}

TEST(ConvertWeights, RefusesInOneLine) {
  const TemporaryFolder folder;
  const std::pair<std::string, const char*> cases[] = {
      {golden("var_tiny.pth"), "convert_weights: error: give a file to write, or --list\n"},
      {golden("var_tiny.pth") + " " + folder / "x.bin", "its ending must be .safetensors, .npz, .pth, .pt or .h5"},
      {golden("README.md") + " --list", "not a file of tensors that is known"},
      {golden("var_tiny.pth") + " " + folder / "x.npz --dtype bf16",
       "is bf16, which NumPy does not have; convert it to f32 or f16"},
      {golden("var_tiny.pth") + " --all " + folder / "x.pth",
       "convert_weights: error: --all has no effect without --list\n"},
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
