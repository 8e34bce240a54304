#include "tensor/device/allocator.h"

#include <algorithm>
#include <thread>

#include "tests/support.h"

namespace terrace {
namespace {

int64_t named_peak(const std::string& name) {
  const MemoryStats stats = memory_stats();
  const auto found =
      std::find_if(stats.named.begin(), stats.named.end(), [&](const MemoryFigure& f) { return f.name == name; });
  return found == stats.named.end() ? -1 : found->peak;
}

TEST(Allocator, CountsWhatIsLive) {
  const int64_t before = memory_stats().live;
  {
    const Tensor x = Tensor::zeros({1000}, DType::kF32);
    const Tensor view = x.slice(0, 0, 10);
    EXPECT_GE(memory_stats().live - before, 4000);
    EXPECT_LT(memory_stats().live - before, 4000 + 4096) << "a view costs nothing";
  }
  EXPECT_EQ(memory_stats().live, before);
}

TEST(Allocator, RemembersThePeakUntilItIsReset) {
  reset_peak_memory();
  const int64_t before = memory_stats().live;
  { const Tensor x = Tensor::empty({1 << 20}); }
  EXPECT_GE(memory_stats().peak - before, int64_t{4} << 20);
  reset_peak_memory();
  EXPECT_EQ(memory_stats().peak, memory_stats().live);
}

TEST(Allocator, BlocksAreAlignedAndReused) {
  int tag = 0;
  void* block = allocate(100000, &tag);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % 64, 0u);
  deallocate(block, 100000, tag);
  int again = 0;
  void* second = allocate(100000, &again);
  EXPECT_EQ(second, block);
  deallocate(second, 100000, again);
  for (int64_t n : {1, 7, 31, 33, 129, 4097}) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(Tensor::empty({n}, DType::kU8).raw_data()) % 64, 0u) << n;
  }
}

TEST(Allocator, ALargeBlockIsLentForUpToHalfItsSize) {
  release_cached_memory();
  const MemoryStats before = memory_stats();
  constexpr size_t kWhole = size_t{12} << 20, kPart = size_t{7} << 20;
  int tag = 0;
  void* whole = allocate(kWhole, &tag);
  deallocate(whole, kWhole, tag);
  void* part = allocate(kPart, &tag);
  EXPECT_EQ(part, whole);
  EXPECT_EQ(memory_stats().live - before.live, static_cast<int64_t>(kPart)) << "as was asked for";
  EXPECT_EQ(memory_stats().reserved - before.reserved, static_cast<int64_t>(kWhole));
  deallocate(part, kPart, tag);
  EXPECT_EQ(memory_stats().live, before.live);
  EXPECT_EQ(memory_stats().reserved - before.reserved, static_cast<int64_t>(kWhole));
  void* again = allocate(kWhole, &tag);
  EXPECT_EQ(again, whole) << "as a whole once more";
  deallocate(again, kWhole, tag);
  constexpr size_t kLess = size_t{5} << 20;
  void* less = allocate(kLess, &tag);
  EXPECT_LE(memory_stats().reserved - before.reserved, static_cast<int64_t>(kLess)) << "too small for a loan";
  deallocate(less, kLess, tag);
  release_cached_memory();
}

TEST(Allocator, GivesCachedBlocksBack) {
  { const Tensor x = Tensor::empty({3 << 20}); }
  EXPECT_GE(memory_stats().reserved, memory_stats().live + (int64_t{12} << 20));
  release_cached_memory();
  EXPECT_LT(memory_stats().reserved, memory_stats().live + (int64_t{12} << 20));
  EXPECT_GE(memory_stats().reserved, memory_stats().live);
}

TEST(Allocator, ALargeBlockTakesTheMemoryOfCachedOnesOfOtherSizes) {
  release_cached_memory();
  { const Tensor first = Tensor::empty({6 << 20}), second = Tensor::empty({6 << 20}); }
  const Tensor larger = Tensor::empty({9 << 20});
  EXPECT_EQ(memory_stats().reserved, memory_stats().live) << "nothing is left in the cache";
}

TEST(Allocator, CountsByName) {
  reset_peak_memory();
  {
    AllocationName scope("test-cache");
    const Tensor x = Tensor::empty({1000});
    AllocationName inner("test-inner");
    const Tensor y = Tensor::empty({3000});
  }
  const Tensor unnamed = Tensor::empty({9000});
  EXPECT_GE(named_peak("test-cache"), 4000);
  EXPECT_LT(named_peak("test-cache"), 12000);
  EXPECT_GE(named_peak("test-inner"), 12000);
  const std::vector<MemoryFigure> named = memory_stats().named;
  EXPECT_TRUE(std::is_sorted(named.begin(), named.end(),
                             [](const MemoryFigure& a, const MemoryFigure& b) { return a.peak > b.peak; }));
}

TEST(Allocator, AllocatedUnderANameFreedOutsideIt) {
  Tensor x;
  {
    AllocationName scope("test-moved");
    x = Tensor::empty({500});
  }
  x = Tensor();
  for (const MemoryFigure& figure : memory_stats().named) {
    if (figure.name == "test-moved") { EXPECT_EQ(figure.live, 0); }
  }
}

TEST(Allocator, ThreadsAllocateAtOnce) {
  const int64_t before = memory_stats().live;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([i] {
      for (int64_t round = 1; round < 300; ++round) {
        Tensor x = Tensor::full({round * (i + 1)}, i);
        if (x.to_vector<int64_t>() != std::vector<int64_t>(static_cast<size_t>(x.numel()), i)) {
          ADD_FAILURE() << "another thread's value";
          return;
        }
      }
    });
  }
  for (std::thread& thread : threads) { thread.join(); }
  EXPECT_EQ(memory_stats().live, before);
}

}  // namespace
}  // namespace terrace
