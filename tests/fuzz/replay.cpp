// The fuzz targets without a fuzzer: every seed, and mutations of the seeds that are the same in every run.
#include <algorithm>
#include <filesystem>

#include "data/files/atomic_file.h"
#include "tensor/random.h"
#include "tests/fuzz/targets.h"
#include "tests/support.h"

namespace terrace {
namespace {

class Fuzz : public testing::TestWithParam<FuzzTarget> {
 protected:
  std::vector<std::string> seeds() const {
    std::vector<std::string> paths;
    for (const auto& entry :
         std::filesystem::directory_iterator(source_root() / "tests/fuzz/seeds" / GetParam().name)) {
      paths.push_back(entry.path().string());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }
  void run(const std::string& input) const { run_fuzz_target(GetParam(), std::as_bytes(std::span(input))); }
};

/// A few bytes changed, removed, doubled, or the end cut off.
std::string mutated(std::string bytes, Generator& g) {
  const auto below = [&g](size_t n) { return static_cast<size_t>(g.next_uniform() * static_cast<double>(n)); };
  constexpr char kTelling[] = {'\0', '\1', '\x7f', '\x80', '\xff', '.', '(', 'R', 'q', '\x93', '"', ']', '9'};
  for (size_t changes = 1 + below(4); changes > 0 && !bytes.empty(); --changes) {
    const size_t at = below(bytes.size());
    const size_t count = std::min<size_t>(1 + below(8), bytes.size() - at);
    switch (below(6)) {
      case 0:
        bytes[at] = static_cast<char>(below(256));
        break;
      case 1:
        bytes[at] = kTelling[below(std::size(kTelling))];
        break;
      case 2:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 3:
        bytes.erase(at, count);
        break;
      case 4:
        bytes.insert(at, bytes.substr(below(bytes.size()), count));
        break;
      default:
        if (below(8) == 0) { bytes.resize(at); }
    }
  }
  return bytes;
}

TEST_P(Fuzz, SeedsAreReadOrRefused) {
  ASSERT_FALSE(seeds().empty());
  for (const std::string& path : seeds()) {
    SCOPED_TRACE(path);
    EXPECT_NO_THROW(run(read_file(path)));
  }
}

TEST_P(Fuzz, MutationsAreReadOrRefused) {
  constexpr int kEach = 150;
  Generator g(17);
  for (const std::string& path : seeds()) {
    const std::string seed = read_file(path);
    for (int i = 0; i < kEach; ++i) {
      const std::string input = mutated(seed, g);
      ASSERT_NO_THROW(run(input)) << path << ", mutation " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Fuzz, testing::ValuesIn(fuzz_targets()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace terrace
