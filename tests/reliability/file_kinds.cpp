#include "tests/reliability/file_kinds.h"

#include "data/files/atomic_file.h"
#include "data/files/sha256.h"
#include "tensor/base/error.h"
#include "tests/reliability/fixture.h"
#include "tests/reliability/judge.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

const std::string kSampleAgain =
    "sample --threads 1 --checkpoint var --tokenizer vqvae --classes 0,1 --count 1 --batch 2 --out out";

Reader reconstruct_with(const std::string& tokenizer) {
  return {cat("reconstruct data.h5 --threads 1 --limit 4 --tokenizer ", tokenizer, " --patch-nums 1,2,4 --out out"),
          {"out/images", "out/reconstruct.csv"}};
}

Reader sample_with(const std::string& transformer) {
  return {cat("sample --threads 1 --checkpoint ", transformer,
              " --tokenizer vqvae --classes 0,1 --count 1 --batch 2 --out out"),
          {"out/images", "out/grid.png"}};
}

FileKind export_of(const std::string& model, const std::string& ending) {
  const std::string file = model + ending;
  const Reader converts{cat("convert_weights ", file, " out.safetensors"), {"out.safetensors"}};
  if (model == "vqvae") {
    return {cat("weights", ending), file, {"data.h5", file}, {reconstruct_with(file), converts}};
  }
  return {cat("weights", ending), file, {"vqvae", file}, {sample_with(file), converts}};
}

std::vector<FileKind> make_kinds() {
  const Reader evaluates{evaluate_command() + " --cache none --json out.json", {"out.json"}};
  const Reader studies{study_command("study"), {"study/report.html", "study/results.json"}};
  std::vector<FileKind> kinds = {
      {"dataset",
       "data.h5",
       {"data.h5", "vqvae", "var"},
       {{train_vqvae_command(2, "out"), {"out/checkpoint.h5"}},
        {"reconstruct data.h5 --threads 1 --split train --tokenizer vqvae --out out", {"out/images"}},
        {"prepare_data preview data.h5 --png out.png", {"out.png"}},
        {"prepare_data info data.h5", {}, true}}},
      {"tokenizer's checkpoint",
       "vqvae/checkpoint.h5",
       {"data.h5", "vqvae", "var"},
       {{train_vqvae_command(4, "vqvae") + " --resume", {"vqvae/checkpoint.h5"}},
        reconstruct_with("vqvae"),
        {kSampleAgain, {"out/images"}},
        {"convert_weights vqvae out.npz", {"out.npz"}}}},
      {"transformer's checkpoint",
       "var/checkpoint.h5",
       {"data.h5", "vqvae", "var"},
       {{train_var_command(4, "var") + " --resume", {"var/checkpoint.h5"}},
        {kSampleAgain, {"out/images"}},
        {"inspect_pe var --threads 1 --out out", {"out/inspect.json"}},
        {"convert_weights var out.npz", {"out.npz"}}}},
      {"token cache",
       "var/tokens-train.h5",
       {"data.h5", "vqvae", "var"},
       {{train_var_command(4, "var") + " --resume", {"var/checkpoint.h5", "var/tokens-train.h5"}}}},
      {"reference cache",
       "cache/*.h5",
       {"data.h5", "samples", "cache", "first_layers.npz"},
       {{evaluate_command() + " --cache cache --json out.json", {"out.json", "cache"}}}},
      {"log of evaluate",
       "pass/*.part",
       {"data.h5", "samples", "pass", "first_layers.npz"},
       {{evaluate_command() + " --cache pass --json out.json", {"out.json", "pass"}}}},
      {"images.partial",
       "drawing/images.partial",
       {"vqvae", "var", "drawing"},
       {{sample_command("drawing") + " --resume", {"drawing/images", "drawing/grid.png", "drawing.npz"}}}},
      {"images.partial.json",
       "drawing/images.partial.json",
       {"vqvae", "var", "drawing"},
       {{sample_command("drawing") + " --resume", {"drawing/images", "drawing/grid.png", "drawing.npz"}}}},
      {"run.json", "samples/run.json", {"data.h5", "samples", "first_layers.npz"}, {evaluates}},
      {"run.json",
       "var/run.json",
       {"data.h5", "vqvae", "var"},
       {{train_var_command(4, "var") + " --resume", {"var/checkpoint.h5"}}}},
      {"curves.jsonl",
       "var/curves.jsonl",
       {"data.h5", "vqvae", "var"},
       {{train_var_command(4, "var") + " --resume", {"var/checkpoint.h5"}}}},
      {"PNG image",
       "samples/images/*.png",
       {"data.h5", "samples", "first_layers.npz", "vqvae"},
       {evaluates, {"reconstruct samples --threads 1 --tokenizer vqvae --out out", {"out/images"}}}},
      {"statistics .npz",
       "statistics.npz",
       {"samples", "statistics.npz", "first_layers.npz"},
       {{"evaluate --threads 1 --fake samples --real statistics.npz --features 64 --weights first_layers.npz --cache "
         "none --json out.json",
         {"out.json"}}},
       true,
       "",
       true},
      {"images .npz",
       "samples.npz",
       {"samples.npz", "data.h5", "first_layers.npz"},
       {{"evaluate --threads 1 --fake samples.npz --real data.h5 --features 64 --weights first_layers.npz --cache none "
         "--json out.json",
         {"out.json"}}}},
      {"foreign .safetensors",
       "foreign.safetensors",
       {"foreign.safetensors"},
       {{"convert_weights foreign.safetensors out.npz", {"out.npz"}}},
       false},
      {"legacy .pth", "legacy.pth", {"legacy.pth"}, {{"convert_weights legacy.pth out.npz", {"out.npz"}}}, false},
  };
  for (const char* file : {"study.json", "runs/none-seed0/result.h5", "runs/none-seed0/costs.json",
                           "tokenizer_result.h5", "tokenizer_costs.json", "tokens_train.h5"}) {
    kinds.push_back({cat("study: ", fs::path(file).filename().string()),
                     cat("study/", file),
                     {"study"},
                     {studies},
                     true,
                     "study holds"});
  }
  for (const char* model : {"vqvae", "var"}) {
    for (const char* ending : {".npz", ".pth", ".safetensors", "-export.h5"}) {
      kinds.push_back(export_of(model, ending));
    }
  }
  return kinds;
}

}  // namespace

const std::vector<FileKind>& file_kinds() {
  static const std::vector<FileKind> kinds = make_kinds();
  return kinds;
}

std::string file_of(const FileKind& kind, const fs::path& folder) {
  const size_t star = kind.file.find('*');
  if (star == std::string::npos) { return kind.file; }
  const std::string ending = kind.file.substr(star + 1);
  for (const auto& [name, sum] : snapshot(folder / kind.file.substr(0, star))) {
    if (name.ends_with(ending)) { return kind.file.substr(0, star) + name; }
  }
  throw Error(cat("torture: the fixture has no ", kind.file));
}

namespace {

/// The SHA-256 of the file where results name it by that: this is not compared.
std::string hash_in_results(const FileKind& kind, const fs::path& folder) {
  if (!kind.named_by_hash) { return ""; }
  const std::string bytes = read_file(folder / file_of(kind, folder));
  return "\"sha256:" + sha256_hex(bytes.data(), bytes.size()) + "\"";
}

}  // namespace

std::vector<Expected> expected_of(const FileKind& kind, const Place& place) {
  std::vector<Expected> result;
  for (const Reader& reader : kind.readers) {
    Expected both[2];
    for (Expected& expected : both) {
      if (&expected == &both[1] && !place.twice) {
        expected = both[0];
        continue;
      }
      const Sandbox sandbox(place.scratch / "expected", place.fixture, kind.needs);
      const ProcessResult run = run_process(reader.command, sandbox.path());
      if (!run.ended(0)) { throw Error(cat("torture: ", reader.command, ": ", describe(run))); }
      expected.files = snapshot(sandbox.path(), hash_in_results(kind, sandbox.path()));
      expected.results = part_of(expected.files, reader.results);
      expected.remarks = remarks_of(run);
      if (reader.prints) { expected.printed = run.out; }
    }
    const std::string difference = difference_of(both[1].results, both[0].results);
    if (!difference.empty() || both[0].printed != both[1].printed) {
      throw Error(cat("torture: two runs of one command differ: ", reader.command, ": ", difference));
    }
    result.push_back(both[0]);
  }
  return result;
}

Verdict judge_reader(const FileKind& kind, const Reader& reader, const Expected& expected, const Sandbox& sandbox) {
  Verdict verdict{.subject = kind.name};
  const Snapshot before = snapshot(sandbox.path());
  const std::string file = fs::path(file_of(kind, sandbox.path())).filename().string();
  const ProcessResult run = run_process(reader.command, sandbox.path());
  const auto end_with = [&](Outcome outcome, const std::string& detail) {
    verdict.outcome = outcome;
    verdict.detail = cat(detail, "; ", reader.command, "; ", describe(run));
    return verdict;
  };
  if (ended_badly(run, verdict)) { return end_with(verdict.outcome, verdict.detail); }
  const Snapshot after = snapshot(sandbox.path(), hash_in_results(kind, sandbox.path()));
  if (const std::string left = unfinished_file(after); !left.empty()) { return end_with(Outcome::kLeftOver, left); }
  if (run.exit_code != 0) {
    const std::string left = new_file(after, before);
    if (!left.empty()) { return end_with(Outcome::kLeftOver, left); }
    // Without checksums a value is taken as it is, and what it leads to may be refused far from the file.
    std::string fault = fault_of_text(run, kind.checked ? file : "");
    if (!fault.empty() && !kind.or_names.empty()) { fault = fault_of_text(run, kind.or_names); }
    return end_with(fault.empty() ? Outcome::kRefused : Outcome::kWrongText, fault);
  }
  std::string difference = difference_of(part_of(after, reader.results), expected.results);
  if (reader.prints && run.out != expected.printed) { difference = "its output differs"; }
  if (!difference.empty()) { return end_with(kind.checked ? Outcome::kSilent : Outcome::kUnchecked, difference); }
  const std::string left = new_file(after, expected.files);
  if (!left.empty()) { return end_with(Outcome::kLeftOver, left); }
  return end_with(remarks_of(run) == expected.remarks ? Outcome::kSame : Outcome::kRemade, "");
}

}  // namespace terrace
