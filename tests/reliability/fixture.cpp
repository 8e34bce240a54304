#include "tests/reliability/fixture.h"

#include <filesystem>

#include "tensor/base/error.h"
#include "tests/experiments/evaluation/first_layers.h"
#include "tests/reliability/faults.h"
#include "tests/reliability/judge.h"
#include "tests/reliability/process.h"
#include "tests/reliability/sandbox.h"
#include "tests/support.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

void must_run(const std::string& command, const fs::path& folder) {
  const ProcessResult result = run_process(command, folder);
  if (!result.ended(0)) { throw Error(cat("torture: fixture: ", command, ": ", describe(result))); }
}

/// Runs the command until it is killed in its `at`-th change of files whose path holds `root`.
void must_be_killed(const std::string& command, const fs::path& folder, const std::string& root, int64_t at) {
  const fs::path counter = folder / "counter";
  const ProcessResult result = run_process(command, folder, with_fault("kill:change", at, root, counter));
  fs::remove(counter);
  for (const auto& [name, sum] : snapshot(folder)) {  // that these go away is a matter of the class `kills`
    if (name.find(".partial-") != std::string::npos) { fs::remove(folder / name); }
  }
  if (result.signal != SIGKILL) { throw Error(cat("torture: fixture: not killed: ", command, ": ", describe(result))); }
}

/// A run of sample that was killed when it had drawn three images of 32x32 or more, of eight.
void make_drawing(const fs::path& folder) {
  for (int64_t at = 4;; ++at) {
    fs::remove_all(folder / "drawing");
    must_be_killed(sample_command("drawing"), folder, "/images.partial", at);
    const fs::path file = folder / "drawing/images.partial";
    if (fs::exists(file) && fs::file_size(file) >= 3 * 32 * 32 * 3) { return; }
  }
}

void make_exports(const fs::path& folder) {
  for (const std::string model : {"vqvae", "var"}) {
    for (const char* ending : {".npz", ".pth", ".safetensors", "-export.h5"}) {
      must_run(cat("convert_weights ", model, " ", model, ending), folder);
    }
  }
  const fs::path golden = source_root() / "tests/golden";
  fs::copy(golden / "var_tiny.safetensors", folder / "foreign.safetensors");
  fs::copy(golden / "var_tiny_legacy.pth", folder / "legacy.pth");
}

}  // namespace

std::string train_vqvae_command(int steps, const std::string& out) {
  return cat("train_vqvae --data data.h5", kToyTokenizer, " --norm-groups 8 --batch 4 --init-iterations 1",
             " --evaluate-images 8 --grid-images 2 --checkpoint-every 1 --steps ", steps, " --out ", out);
}

std::string train_var_command(int steps, const std::string& out) {
  return cat("train_var --data data.h5 --tokenizer vqvae/checkpoint.h5", kToyTransformer,
             " --pe mixed --batch 4 --log-every 1 --evaluate-images 8 --grid-images 2 --checkpoint-every 1 --steps ",
             steps, " --out ", out);
}

std::string sample_command(const std::string& out) {
  return cat("sample --threads 1 --checkpoint var --tokenizer vqvae --classes 0,1 --count 4 --batch 2 --npz ", out,
             ".npz --out ", out);
}

std::string evaluate_command() {
  return "evaluate --threads 1 --fake samples --real data.h5 --features 64 --weights first_layers.npz --batch 2";
}

std::string study_command(const std::string& out) {
  return cat("pe_study", kToyTokenizer, kToyTransformer,
             " --train-images 32 --held-out-images 16 --tokenizer-steps 3 --tokenizer-batch 4 --steps 3 --batch 4",
             " --samples 1 --encodings learned,none --out ", out);
}

void make_fixture(const fs::path& folder) {
  fs::create_directories(folder);
  write_first_layers((folder / "first_layers.npz").string());
  must_run("prepare_data procedural --count 24 --test-count 8 --out data.h5", folder);
  must_run(train_vqvae_command(3, "vqvae"), folder);
  must_run(train_var_command(3, "var"), folder);
  must_run(sample_command("samples"), folder);
  make_drawing(folder);
  must_run(evaluate_command() + " --cache cache --json fid.json", folder);
  must_be_killed(evaluate_command() + " --cache pass --json pass.json", folder, ".h5.part", 6);
  must_run(
      "evaluate --threads 1 --real data.h5 --features 64 --weights first_layers.npz --cache none --save-stats "
      "statistics.npz",
      folder);
  must_run(study_command("study"), folder);
  make_exports(folder);
}

}  // namespace terrace
