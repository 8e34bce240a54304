// Bytes of HDF5 files outside of the values of datasets: superblock, object headers, B-trees, heaps; of Terrace's own
// files, of such as earlier versions wrote and of libhdf5's newest structures.
#include <algorithm>
#include <cstring>

#include "data/files/atomic_file.h"
#include "tensor/base/error.h"
#include "tests/reliability/file_kinds.h"
#include "tests/reliability/fixture.h"
#include "tests/reliability/foreign_files.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

/// A file and a reader of it, in a fixture of one format.
struct Target {
  FileKind kind;
  fs::path fixture;
  std::vector<Expected> expected;
  std::vector<int64_t> metadata, used;  // positions in the file: all, and those of bytes other than 0
};
std::vector<Target> g_targets;

std::vector<FileKind> hdf5_kinds() {
  const auto lists = [](const std::string& file) {
    return Reader{cat("convert_weights ", file, " --list --all"), {}, true};
  };
  return {
      {"dataset",
       "data.h5",
       {"data.h5"},
       {{"prepare_data info data.h5 --verify", {}, true}, {"prepare_data info data.h5", {}, true}}},
      {"tokenizer's checkpoint",
       "vqvae/checkpoint.h5",
       {"data.h5", "vqvae"},
       {lists("vqvae/checkpoint.h5"),
        {"reconstruct data.h5 --threads 1 --limit 2 --tokenizer vqvae --out out", {"out/images"}}}},
      {"transformer's checkpoint",
       "var/checkpoint.h5",
       {"var"},
       {lists("var/checkpoint.h5"), {"inspect_pe var --threads 1 --out out", {"out/inspect.json"}}}},
      {"token cache",
       "var/tokens-train.h5",
       {"data.h5", "vqvae", "var"},
       {{train_var_command(4, "var") + " --resume", {"var/checkpoint.h5"}}}},
      {"reference cache",
       "cache/*.h5",
       {"data.h5", "samples", "cache", "first_layers.npz"},
       {{evaluate_command() + " --cache cache --json out.json", {"out.json"}}}},
      {"study: result.h5",
       "study/runs/none-seed0/result.h5",
       {"study"},
       {{study_command("study"), {"study/report.html"}}}},
  };
}

/// A copy of the fixture in which every HDF5 file is one without checksums.
void make_foreign_fixture(const fs::path& from, const fs::path& to, Hdf5Format format) {
  fs::copy(from, to, fs::copy_options::recursive);
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    if (entry.path().extension() == ".h5") {
      write_foreign_copy(entry.path(), to / entry.path().lexically_relative(from), format);
    }
  }
}

void add_targets(const Place& place, const fs::path& fixture, const std::string& label, bool checked) {
  for (FileKind kind : hdf5_kinds()) {
    kind.name += label;
    kind.checked = checked;
    const Place here{.fixture = fixture, .scratch = place.scratch, .keep = {}, .twice = place.twice};
    Target target{kind, fixture, expected_of(kind, here), {}, {}};
    const fs::path file = fixture / file_of(kind, fixture);
    const std::string bytes = read_file(file);
    int64_t at = 0;
    auto ranges = ranges_of_values(file);
    ranges.emplace_back(static_cast<int64_t>(bytes.size()), 0);
    for (const auto& [begin, end] : ranges) {
      for (; at < begin; ++at) {
        target.metadata.push_back(at);
        if (bytes[static_cast<size_t>(at)] != 0) { target.used.push_back(at); }
      }
      at = std::max(at, end);
    }
    g_targets.push_back(std::move(target));
  }
}

/// One to four bytes, or a number of eight.
std::string harm(std::string& bytes, const Target& target, Chance& chance) {
  std::string what;
  for (int64_t n = 1 + chance.below(4) * chance.below(2); n > 0; --n) {
    const size_t at = static_cast<size_t>(chance.below(3) == 0 ? chance.of(target.metadata) : chance.of(target.used));
    const int64_t form = chance.below(5);
    if (form == 4 && at + 8 <= bytes.size()) {
      const uint64_t numbers[] = {0, ~uint64_t{0}, bytes.size(), uint64_t{1} << 40, at, 0x7fffffffffffffffULL};
      const uint64_t number = numbers[chance.below(6)];
      std::memcpy(bytes.data() + at, &number, 8);
      what += cat("number ", number, " at ", at, ", ");
      continue;
    }
    const char before = bytes[at];
    bytes[at] = form == 0   ? '\0'
                : form == 1 ? '\xff'
                : form == 2 ? static_cast<char>(before ^ (1 << chance.below(8)))
                            : static_cast<char>(chance.bits());
    what += cat("byte ", at, " = ", static_cast<int>(static_cast<unsigned char>(bytes[at])), ", ");
  }
  return what;
}

}  // namespace

void prepare_metadata(const Place& place) {
  if (!g_targets.empty()) { return; }
  const fs::path above = place.fixture.parent_path();
  add_targets(place, place.fixture, "", true);
  make_foreign_fixture(place.fixture, above / "fixture-oldest", Hdf5Format::kOldest);
  add_targets(place, above / "fixture-oldest", ", no checksums", false);
  make_foreign_fixture(place.fixture, above / "fixture-latest", Hdf5Format::kLatest);
  add_targets(place, above / "fixture-latest", ", newest HDF5", false);
}

Verdict try_metadata(const Place& place, int64_t index, Chance& chance) {
  const size_t targets = g_targets.size();
  const Target& target = g_targets[static_cast<size_t>(index) % targets];
  const size_t reader = (static_cast<size_t>(index) / targets) % target.kind.readers.size();
  const Sandbox sandbox(place.scratch / "try", target.fixture, target.kind.needs);
  const fs::path file = sandbox / file_of(target.kind, sandbox.path());
  std::string bytes = read_file(file);
  const std::string what = harm(bytes, target, chance);
  put_bytes(file, bytes);
  if (!place.keep.empty()) { sandbox.keep(place.keep); }
  Verdict verdict = judge_reader(target.kind, target.kind.readers[reader], target.expected[reader], sandbox);
  verdict.detail = cat(target.kind.file, ": ", what, verdict.detail);
  return verdict;
}

}  // namespace terrace
