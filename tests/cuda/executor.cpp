// The executor itself: the errors that it must report, and that it emulates instructions as the PTX manual defines
// them.
#include "cuda/executor/executor.h"

#include "cuda/device/collectives.h"
#include "cuda/device/mma.h"
#include "tests/support.h"

namespace terrace {
namespace {

using cuda::Grid;
using cuda::launch;
using executor::KernelError;
using executor::Schedule;

constexpr uint64_t kSeeds[] = {0, 1, 2, 3, 17};

enum class Barrier { kPresent, kMissing };

/// out[i] = in[threads - 1 - i] by way of shared memory.
template <Barrier barrier>
__global__ void reverse(const float* in, float* out) {
  TERRACE_SHARED(tile, float[256]);
  tile[threadIdx.x] = in[threadIdx.x];
  if (barrier == Barrier::kPresent) { __syncthreads(); }
  out[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

template <Barrier barrier>
std::vector<float> reversed(int threads) {
  std::vector<float> in(256), out(256);
  for (int i = 0; i < 256; ++i) { in[static_cast<size_t>(i)] = static_cast<float>(i); }
  launch("reverse", reverse<barrier>, Grid(1, threads), in.data(), out.data());
  return out;
}

TEST(Executor, ABarrierOrdersSharedMemory) {
  for (const uint64_t seed : kSeeds) {
    const Schedule schedule(seed);
    for (const int threads : {1, 2, 31, 33, 256}) {
      const std::vector<float> out = reversed<Barrier::kPresent>(threads);
      for (int i = 0; i < threads; ++i) { EXPECT_EQ(out[static_cast<size_t>(i)], static_cast<float>(threads - 1 - i)); }
    }
  }
}

TEST(Executor, AMissingBarrierShows) {
  std::vector<std::vector<float>> results;
  for (const uint64_t seed : kSeeds) {
    const Schedule schedule(seed);
    results.push_back(reversed<Barrier::kMissing>(64));
    EXPECT_TRUE(std::any_of(results.back().begin(), results.back().begin() + 64, [](float v) { return v != v; }))
        << "what was read before it was written is NaN";
  }
  const auto places_of_nan = [](const std::vector<float>& v) {
    std::string places;
    for (const float x : v) { places += x != x ? 'n' : '.'; }
    return places;
  };
  EXPECT_NE(places_of_nan(results[0]), places_of_nan(results[1])) << "and where depends on the schedule";
}

__global__ void divergent_barrier(int* out) {
  if (threadIdx.x < 7) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}
__global__ void early_return(int* out) {
  if (threadIdx.x == 5) { return; }
  __syncthreads();
  out[threadIdx.x] = 1;
}
__global__ void half_a_warp_shuffles(int* out) {
  if (threadIdx.x < 16) { out[threadIdx.x] = __shfl_xor_sync(cuda::kFullWarp, 1, 1); }
}
__global__ void different_masks(int* out) {
  const unsigned mask = threadIdx.x == 0 ? 0x3u : 0x7u;
  if (threadIdx.x < 3) { out[threadIdx.x] = __shfl_xor_sync(mask, 1, 1); }
}
__global__ void forgets_a_copy(int* out) {
  TERRACE_SHARED(tile, int[4]);
  cuda::copy_async_16(tile, out);
  cuda::copy_async_commit();
}

TEST(Executor, BrokenRulesAreReported) {
  std::vector<int> out(64);
  for (const uint64_t seed : kSeeds) {
    const Schedule schedule(seed);
    const auto expect_report = [&](void (*kernel)(int*), const std::string& text) {
      expect_error<KernelError>([&] { launch("broken", kernel, Grid(1, 32), out.data()); }, text);
    };
    expect_report(divergent_barrier, "broken: divergent barrier: thread 0 waits at the barrier in executor.cpp:");
    expect_report(early_return, "thread 5 has left the kernel; block (0,0,0) of 32 threads");
    expect_report(half_a_warp_shuffles, "waits in __shfl_xor_sync in executor.cpp:");
    expect_report(different_masks, "divergent warp");
    expect_report(forgets_a_copy, "before its asynchronous copies arrived");
  }
  expect_error<KernelError>([&] { launch("wide", early_return, Grid(1, 1025), out.data()); },
                            "wide: cannot launch (1,1,1) blocks of (1025,1,1) threads");
  expect_error<KernelError>([&] { launch("big", early_return, Grid(1, 32, 300 << 10), out.data()); },
                            "big: asks for 307200 bytes of shared memory");
  // And it goes on working.
  EXPECT_EQ(reversed<Barrier::kPresent>(2)[0], 1);
}

/// Copies over what its neighbour is about to read.
__global__ void copies_too_early(const int* in, int* out) {
  TERRACE_SHARED(tile, int[32]);
  tile[threadIdx.x] = 1;
  __syncthreads();
  cuda::copy_async_4(&tile[(threadIdx.x + 1) % 32], in);
  cuda::copy_async_commit();
  out[threadIdx.x] = tile[threadIdx.x];
  __syncthreads();
  cuda::copy_async_wait<0>();
}

TEST(Executor, ACopyOverWhatIsStillReadShows) {
  const int two = 2;
  const auto copied = [&](uint64_t seed) {
    const Schedule schedule(seed);
    std::vector<int> out(32);
    launch("early", copies_too_early, Grid(1, 32), &two, out.data());
    return std::count(out.begin(), out.end(), two);
  };
  for (const uint64_t seed : kSeeds) { EXPECT_EQ(copied(seed) > 0, seed != 0) << "schedule " << seed; }
}

#if defined(__SANITIZE_ADDRESS__)
__global__ void beyond_shared(float* out) {
  TERRACE_SHARED(tile, float[32]);
  float* first = tile;  // a pointer, whose bounds UBSan does not know: it is the memory behind that must be guarded
  first[threadIdx.x + 1] = 1;
  out[threadIdx.x] = tile[threadIdx.x];
}
#endif

TEST(ExecutorDeathTest, BeyondSharedMemoryIsCaughtByAsan) {
#if defined(__SANITIZE_ADDRESS__)
  std::vector<float> out(32);
  EXPECT_DEATH(launch("beyond", beyond_shared, Grid(1, 32), out.data()), "heap-buffer-overflow");
#else
  GTEST_SKIP() << "needs AddressSanitizer: make sanitize";
#endif
}

__global__ void warp_operations(int* out, unsigned* votes) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int* mine = out + threadIdx.x * 4;
  mine[0] = __shfl_sync(cuda::kFullWarp, lane, 5);
  mine[1] = __shfl_xor_sync(cuda::kFullWarp, lane, 3);
  mine[2] = __shfl_down_sync(cuda::kFullWarp, lane, 2);
  mine[3] = __shfl_up_sync(cuda::kFullWarp, lane, 2);
  votes[threadIdx.x] = __ballot_sync(cuda::kFullWarp, lane % 3 == 0);
  __syncwarp();
}

TEST(Executor, WarpOperations) {
  for (const uint64_t seed : kSeeds) {
    const Schedule schedule(seed);
    std::vector<int> out(64 * 4);
    std::vector<unsigned> votes(64);
    launch("warp", warp_operations, Grid(1, 64), out.data(), votes.data());
    for (int t = 0; t < 64; ++t) {
      const int lane = t % 32;
      const int* mine = out.data() + t * 4;
      EXPECT_EQ(mine[0], 5);
      EXPECT_EQ(mine[1], lane ^ 3);
      EXPECT_EQ(mine[2], lane < 30 ? lane + 2 : lane);
      EXPECT_EQ(mine[3], lane >= 2 ? lane - 2 : lane);
      EXPECT_EQ(votes[static_cast<size_t>(t)], 0x49249249u);
    }
  }
}

__global__ void count_up(unsigned* counter, unsigned* order) {
  const unsigned at = atomicAdd(counter, 1u);
  order[at] = blockIdx.x * blockDim.x + threadIdx.x;
}

TEST(Executor, AtomicsAndTheOrderOfASchedule) {
  std::vector<std::vector<unsigned>> orders;
  for (const uint64_t seed : kSeeds) {
    const Schedule schedule(seed);
    unsigned counter = 0;
    std::vector<unsigned> order(7 * 33);
    launch("count", count_up, Grid(7, 33), &counter, order.data());
    EXPECT_EQ(counter, 7u * 33);
    orders.push_back(order);
    std::sort(order.begin(), order.end());
    for (unsigned i = 0; i < order.size(); ++i) { EXPECT_EQ(order[i], i); }
  }
  EXPECT_TRUE(std::is_sorted(orders[0].begin(), orders[0].end())) << "schedule 0 takes them in order";
  EXPECT_NE(orders[1], orders[2]);
}

__global__ void block_sums(const double* x, double* out) {
  out[threadIdx.x] = cuda::block_sum<96>(x[threadIdx.x]) + 1000 * cuda::block_max<96>(x[threadIdx.x]);
}

TEST(Executor, BlockReductions) {
  std::vector<double> x(96), out(96);
  for (int i = 0; i < 96; ++i) { x[static_cast<size_t>(i)] = (i * 37) % 96; }
  for (const uint64_t seed : kSeeds) {
    const Schedule schedule(seed);
    launch("sums", block_sums, Grid(1, 96), x.data(), out.data());
    for (const double v : out) { EXPECT_EQ(v, 96 * 95 / 2 + 95000); }
  }
}

/// One warp: D (16, 8) = A (16, 16) B (16, 8), A through ldmatrix, B (k, n) through the transposed one.
__global__ void multiply_tile(const BFloat16* a, const BFloat16* b, float* d) {
  using Pair = BFloat16[16][16];
  TERRACE_SHARED(tile_a, Pair);
  TERRACE_SHARED(tile_b, Pair);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 32; i += 32) { cuda::copy_async_16(&tile_a[i / 2][i % 2 * 8], a + i * 8); }
  if (lane < 16) { cuda::copy_async_16(&tile_b[lane][0], b + lane * 8); }
  if (lane >= 16) { cuda::zero_async_16(&tile_b[lane - 16][8]); }
  cuda::copy_async_commit();
  cuda::copy_async_wait<0>();
  __syncwarp();
  uint32_t fragment_a[4], fragment_b[4];
  cuda::ldmatrix_x4(fragment_a, &tile_a[lane % 16][lane / 16 * 8]);
  cuda::ldmatrix_x4_transposed(fragment_b, &tile_b[lane % 16][lane / 16 * 8]);
  float sums[4] = {};
  const uint32_t lower_b[2] = {fragment_b[0], fragment_b[1]};
  cuda::mma_m16n8k16(sums, fragment_a, lower_b);
  for (int i = 0; i < 4; ++i) { d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = sums[i]; }
}

TEST(Executor, MmaMultipliesMatrices) {
  const Tensor a = random_tensor({16, 16}, 1, -1, 1, DType::kBF16), b = random_tensor({16, 8}, 2, -1, 1, DType::kBF16);
  const std::vector<double> av = a.to_vector<double>(), bv = b.to_vector<double>();
  for (const uint64_t seed : kSeeds) {
    const Schedule schedule(seed);
    std::vector<float> d(128);
    launch("mma", multiply_tile, Grid(1, 32), a.data<BFloat16>(), b.data<BFloat16>(), d.data());
    for (size_t m = 0; m < 16; ++m) {
      for (size_t n = 0; n < 8; ++n) {
        double expected = 0;
        for (size_t k = 0; k < 16; ++k) { expected += av[m * 16 + k] * bv[k * 8 + n]; }
        EXPECT_NEAR(d[m * 8 + n], expected, 1e-6) << m << ", " << n;
      }
    }
  }
}

TEST(Executor, AGridWithoutBlocksLaunchesNothing) { launch("none", early_return, Grid(0, 32), nullptr); }

}  // namespace
}  // namespace terrace
