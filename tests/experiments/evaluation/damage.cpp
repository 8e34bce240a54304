// One bit changed in what evaluate keeps: the figures are those of the whole run, and a note says what was done.
#include <filesystem>

#include "data/files/atomic_file.h"
#include "data/hdf5/file.h"
#include "tests/experiments/evaluation/evaluate.h"
#include "tests/flipped_bits.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

class EvaluateDamage : public testing::Test {
 protected:
  EvaluateDamage() {
    write_first_layers(folder_ / "w.safetensors");
    write_samples(folder_ / "real.npz", pictures(80, 21));
    write_samples(folder_ / "fake.npz", pictures(90, 22));
  }
  std::string command(const std::string& cache) const {
    return cat(program_path("evaluate").string(), " --features 64 --metrics fid,kid --batch 8 --fake ",
               folder_ / "fake.npz", " --real ", folder_ / "real.npz", " --weights ", folder_ / "w.safetensors",
               " --cache ", folder_ / cache);
  }
  /// The lines of figures and their stamps, without progress and notes.
  std::string figures(const std::string& cache, const std::string& note = "") const {
    const CommandResult result = run_command(command(cache) + " 2> " + (folder_ / "said"));
    EXPECT_EQ(result.status, 0) << result.output << read_file(folder_ / "said");
    EXPECT_NE(read_file(folder_ / "said").find(note), std::string::npos) << read_file(folder_ / "said");
    EXPECT_NE(result.output.find("FID(64)"), std::string::npos) << result.output;
    return result.output;
  }
  /// The file in the cache that ends so, "" where there is none.
  std::string cached(const std::string& cache, const std::string& ending) const {
    for (const auto& entry : fs::directory_iterator(folder_ / cache)) {
      if (entry.path().string().ends_with(ending)) { return entry.path().string(); }
    }
    return "";
  }
  TemporaryFolder folder_;
};

TEST_F(EvaluateDamage, OneBitOfTheReferenceCacheChangesNoFigure) {
  const std::string whole = figures("cache"), path = cached("cache", ".h5");
  EXPECT_EQ(figures("cache"), whole);
  const std::string bytes = read_file(path);
  for (const char* name : {"features_statistics/covariance", "features_statistics/mean", "features"}) {
    const Tensor value = Hdf5File::open(path).read(name);
    const std::string first(static_cast<const char*>(value.raw_data()), 16);
    const size_t at = bytes.find(first);
    ASSERT_NE(at, std::string::npos) << name;
    write_file(path, with_flipped_bit(bytes, at * 8 + 50));
    EXPECT_EQ(figures("cache", " are not what was written; what this cached file keeps is computed again\n"), whole)
        << name;
    EXPECT_NE(read_file(folder_ / "said").find("evaluate: note: "), std::string::npos);
    EXPECT_NE(read_file(folder_ / "said").find(path), std::string::npos);
    EXPECT_EQ(read_file(path), bytes) << "made again";
  }
}

TEST_F(EvaluateDamage, OneBitOfTheLogOfAnInterruptedRunChangesNoFigure) {
  const std::string whole = figures("whole");
  const std::string kill = cat("bash -c 'set -m; ", command("killed"),
                               " > /dev/null 2>&1 & for i in $(seq 6000); do s=$(cat ", folder_ / "killed",
                               "/*.part 2>/dev/null | wc -c); [ $s -gt 2000 ] && break; sleep 0.01; "
                               "done; kill -KILL %1; wait %1'");
  run_command(kill);
  const std::string log = cached("killed", ".part");
  ASSERT_NE(log, "") << "the run was killed before its end";
  const std::string bytes = read_file(log);
  ASSERT_GE(bytes.size(), 96U + 8 * (64 * 4 + 8));
  std::string kept;
  for (const auto& entry : fs::directory_iterator(folder_ / "killed")) {
    kept += entry.path().filename().string() + "\n";
  }
  for (const size_t bit : {size_t{30} * 8, size_t{70} * 8 + 1, size_t{96 + 5 * 264} * 8 + 30}) {
    const std::string cache = cat("bit-", bit);
    fs::copy(folder_ / "killed", folder_ / cache);
    const std::string path = cached(cache, ".part");
    write_file(path, with_flipped_bit(bytes, bit));
    EXPECT_EQ(
        figures(cache, cat("evaluate: note: ", path,
                           bit < 96 * 8 ? " is damaged, or of an earlier version" : ": what it keeps of image 6 of ")),
        whole)
        << bit << " of " << kept;
  }
}

}  // namespace
}  // namespace terrace
