#include "var/training/micro_batches.h"

#include "tests/support.h"

namespace terrace {
namespace {

struct Rank : Communicator {
  Rank(int rank, int size) : Communicator(rank, size) {}
  void sum(const std::vector<Tensor>&) override {}
};

TEST(MicroBatches, CoverTheBatchOnce) {
  int64_t next = 0;
  for (const MicroBatch& m : micro_batches(11, 4, nullptr)) {
    EXPECT_EQ(m.begin, next);
    EXPECT_GE(m.size(), 2);
    EXPECT_LE(m.size(), 3);
    next = m.end;
  }
  EXPECT_EQ(next, 11);
}

TEST(MicroBatches, OfRanksAreThoseOfOneProcessInTheirOrder) {
  const std::vector<MicroBatch> alone = micro_batches(11, 4, nullptr);
  size_t next = 0;
  for (int r = 0; r < 2; ++r) {
    const Rank rank(r, 2);
    for (const MicroBatch& m : micro_batches(11, 4, &rank)) {
      EXPECT_EQ(m.index, alone.at(next).index);
      EXPECT_EQ(m.begin, alone[next].begin);
      EXPECT_EQ(m.end, alone[next].end);
      EXPECT_EQ(m.first_draw(), static_cast<uint64_t>(next) << 40);
      ++next;
    }
  }
  EXPECT_EQ(next, alone.size());
}

}  // namespace
}  // namespace terrace
