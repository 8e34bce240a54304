// One bit changed anywhere in the log of an interrupted pass: the result is that of the whole pass.
#include "metrics/activation_log.h"

#include <filesystem>

#include "data/files/atomic_file.h"
#include "tests/flipped_bits.h"

namespace terrace {
namespace {

constexpr int64_t kImages = 6;

Activations activations(int64_t begin, int64_t end) {
  const Tensor all = random_tensor({kImages, 6}, 1);
  return {.features = all.slice(0, begin, end).slice(1, 0, 4).contiguous(),
          .spatial = all.slice(0, begin, end).slice(1, 4, 6).contiguous(),
          .logits = {}};
}

struct ActivationLogs : testing::Test {
  ActivationLogs() {
    const auto log = ActivationLog::open(path, "key");
    log->append(activations(0, 4));
    log->append(activations(4, 6));
  }
  /// How many images the log of these bytes keeps, which must be what was written.
  int64_t kept(const std::string& bytes) {
    put_file(path, bytes);
    const auto log = ActivationLog::open(path, "key");
    const int64_t size = log->size();
    if (size > 0) {
      const Activations read = log->read(0, size), expected = activations(0, size);
      EXPECT_SAME(read.features, expected.features);
      EXPECT_SAME(read.spatial, expected.spatial);
    }
    return size;
  }
  TemporaryFolder folder;
  std::string path = folder / "x.part";
};

TEST_F(ActivationLogs, NoFlippedBitPasses) {
  const std::string bytes = read_file(path);
  ASSERT_EQ(bytes.size(), 96U + 6 * 32);
  EXPECT_EQ(kept(bytes), 6);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    const size_t byte = bit / 8;
    EXPECT_EQ(kept(with_flipped_bit(bytes, bit)), byte < 96 ? 0 : static_cast<int64_t>(byte - 96) / 32) << bit;
  }
}

TEST_F(ActivationLogs, GoOnBehindWhatCounts) {
  const std::string bytes = read_file(path);
  for (const size_t byte : {size_t{3}, size_t{90}, size_t{96 + 2 * 32 + 31}}) {
    const int64_t first = kept(with_flipped_bit(bytes, byte * 8));
    const auto log = ActivationLog::open(path, "key");
    log->append(activations(first, kImages));
    EXPECT_SAME(log->read(0, kImages).features, activations(0, kImages).features);
    EXPECT_EQ(read_file(path), bytes);
  }
}

TEST_F(ActivationLogs, RecordsCountInTheirPlaceAlone) {
  std::string bytes = read_file(path);
  const std::string second = bytes.substr(96 + 32, 32);
  bytes.replace(96 + 64, 32, second);
  EXPECT_EQ(kept(bytes), 2);
}

TEST_F(ActivationLogs, SayWhatIsComputedAgain) {
  const std::string bytes = read_file(path);
  testing::internal::CaptureStderr();
  kept(with_flipped_bit(bytes, (96 + 32) * 8));
  EXPECT_NE(
      testing::internal::GetCapturedStderr().find(
          "note: " + path + ": what it keeps of image 2 of 6 is damaged; it and what follows are computed again\n"),
      std::string::npos);
  testing::internal::CaptureStderr();
  EXPECT_EQ(kept(bytes.substr(0, 64) + bytes.substr(72)), 0);  // another header, as that of an earlier version
  EXPECT_NE(testing::internal::GetCapturedStderr().find(
                "note: " + path +
                " is damaged, or of an earlier version; what it keeps of an interrupted run is computed again\n"),
            std::string::npos);
  EXPECT_EQ(kept(bytes.substr(0, bytes.size() - 5)), 5) << "a record that was cut short";
  const auto log = ActivationLog::open(path, "key");
  std::string changed = read_file(path);
  write_file(folder / "copy", changed);
  const auto other = ActivationLog::open(folder / "copy", "another key");
  EXPECT_EQ(other->size(), 0);
}

}  // namespace
}  // namespace terrace
