#include "tests/reliability/runs.h"

#include <algorithm>

#include "tensor/base/error.h"
#include "tests/reliability/fixture.h"
#include "tests/reliability/judge.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

std::vector<Undisturbed> g_undisturbed;

std::vector<DisturbedRun> make_runs() {
  const std::vector<std::string> models = {"data.h5", "vqvae", "var"};
  const std::vector<std::string> sides = {"data.h5", "samples", "first_layers.npz"};
  return {
      {"train_vqvae",
       {"data.h5"},
       train_vqvae_command(4, "out"),
       "out/checkpoint.h5",
       " --resume",
       " --overwrite",
       {"out/checkpoint.h5"}},
      {"train_var",
       {"data.h5", "vqvae"},
       train_var_command(4, "out"),
       "out/checkpoint.h5",
       " --resume",
       " --overwrite",
       {"out/checkpoint.h5", "out/tokens-train.h5", "out/tokens-test.h5"}},
      {"sample",
       {"vqvae", "var"},
       sample_command("out"),
       "out/images.partial.json",
       " --resume",
       " --overwrite",
       {"out/images", "out/grid.png", "out.npz"}},
      {"evaluate",
       sides,
       evaluate_command() + " --cache kept --json out.json --out out",
       "",
       "",
       " --overwrite",
       {"out.json", "kept"}},
      {"prepare_data",
       {},
       "prepare_data procedural --count 24 --test-count 8 --out out.h5",
       "",
       "",
       " --overwrite",
       {"out.h5"}},
      {"convert_weights", {"var"}, "convert_weights var out.safetensors", "", "", " --overwrite", {"out.safetensors"}},
      {"convert_weights", {"vqvae"}, "convert_weights vqvae out.pth", "", "", " --overwrite", {"out.pth"}},
      {"convert_weights", {"vqvae"}, "convert_weights vqvae out.h5", "", "", " --overwrite", {"out.h5"}},
      {"pe_study",
       {},
       study_command("out"),
       "",
       "",
       "",
       {"out/data.h5", "out/tokenizer.h5", "out/tokens_train.h5", "out/tokens_held_out.h5",
        "out/runs/learned-seed0/checkpoint.h5", "out/runs/none-seed0/checkpoint.h5"}},
      {"reconstruct",
       models,
       "reconstruct data.h5 --threads 1 --limit 4 --tokenizer vqvae --out out",
       "",
       "",
       " --overwrite",
       {"out/images", "out/grid.png", "out/reconstruct.csv"}},
      {"inspect_pe",
       {"var"},
       "inspect_pe var --threads 1 --out out",
       "",
       "",
       " --overwrite",
       {"out/inspect.json", "out/inspect.html"}},
  };
}

}  // namespace

const std::vector<DisturbedRun>& disturbed_runs() {
  static const std::vector<DisturbedRun> runs = make_runs();
  return runs;
}

const std::vector<Undisturbed>& undisturbed() { return g_undisturbed; }

void prepare_runs(const Place& place) {
  if (!g_undisturbed.empty()) { return; }
  for (const DisturbedRun& run : disturbed_runs()) {
    Undisturbed whole;
    const Sandbox sandbox(place.scratch / "whole", place.fixture, run.needs);
    whole.before = snapshot(sandbox.path());
    const fs::path counter = place.scratch / "counter";
    const ProcessResult result =
        run_process(run.command, sandbox.path(), with_fault("count:change", 0, sandbox.path().string(), counter));
    if (!result.ended(0)) { throw Error(cat("torture: ", run.command, ": ", describe(result))); }
    whole.after = snapshot(sandbox.path());
    whole.seconds = result.seconds;
    whole.calls = calls_counted(counter);
    if (whole.calls.changes == 0) { throw Error("torture: the preloaded library counts nothing"); }
    g_undisturbed.push_back(whole);
  }
}

bool inputs_are_whole(size_t run, const Sandbox& sandbox, Verdict& verdict) {
  const Snapshot now = snapshot(sandbox.path());
  for (const auto& [name, sum] : g_undisturbed[run].before) {
    const auto found = now.find(name);
    if (found != now.end() && found->second == sum) { continue; }
    verdict.outcome = Outcome::kSilent;
    verdict.detail = cat("an input is harmed: ", name, "; ", verdict.detail);
    return false;
  }
  return true;
}

Verdict judge_continuation(size_t index, const Sandbox& sandbox, const std::string& disturbance) {
  const DisturbedRun& run = disturbed_runs()[index];
  const Undisturbed& whole = g_undisturbed[index];
  Verdict verdict{.subject = run.program, .detail = disturbance};
  if (!inputs_are_whole(index, sandbox, verdict)) { return verdict; }
  const bool resumes = !run.begun.empty() && sandbox.has(run.begun);
  const std::string command = run.command + (resumes ? run.resume : run.again);
  const ProcessResult result = run_process(command, sandbox.path());
  const auto end_with = [&](Outcome outcome, const std::string& detail) {
    verdict.outcome = outcome;
    verdict.detail = cat(disturbance, "; then ", command, ": ", detail, "; ", describe(result));
    return verdict;
  };
  if (ended_badly(result, verdict)) { return end_with(verdict.outcome, verdict.detail); }
  if (result.exit_code != 0) { return end_with(Outcome::kWrongText, "does not go on"); }
  const Snapshot now = snapshot(sandbox.path());
  if (const std::string left = unfinished_file(now); !left.empty()) { return end_with(Outcome::kLeftOver, left); }
  const std::string difference = difference_of(part_of(now, run.results), part_of(whole.after, run.results));
  if (!difference.empty()) { return end_with(Outcome::kSilent, difference); }
  for (const auto& [name, sum] : whole.after) {
    if (!now.contains(name)) { return end_with(Outcome::kSilent, name + " is missing"); }
  }
  const std::string left = new_file(now, whole.after);
  if (!left.empty()) { return end_with(Outcome::kLeftOver, left); }
  return end_with(Outcome::kSame, "");
}

}  // namespace terrace
