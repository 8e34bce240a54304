// A block has a row, and nothing is sorted. Logits are compared by their ordered bits (their keys). The k-th largest is
// found by radix selection, eight bits of its key at a time from counts; the border of the nucleus by bisection over
// keys, as the smallest key below which enough probability lies. Exponentials are computed in f64 and rounded to f32,
// so that they equal the CPU's but for one in some hundreds, and sums are f64: a draw falls into the same class as on
// the CPU.
#include "tensor/kernels/sampling.h"

#include "cuda/device/collectives.h"
#include "cuda/device/sorting.h"
#include "tensor/base/math.h"
#include "tensor/base/philox.h"

namespace terrace {
namespace {

constexpr int kThreads = 256;
// 8 blocks on each of an H200's 132 multiprocessors take the rows in turn: the weights of 8 rows fit the L1 cache.
constexpr int64_t kMaxBlocks = 132 * 8;

__device__ float weight_of(float logit, float largest) {
  return static_cast<float>(math::exp(static_cast<double>(logit - largest)));
}

template <class F>
__device__ void for_classes(int64_t classes, F&& f) {
  for (int64_t v = threadIdx.x; v < classes; v += kThreads) { f(v); }
}

__device__ float largest_of(const float* row, int64_t classes) {
  float largest = -std::numeric_limits<float>::infinity();
  for_classes(classes, [&](int64_t v) { largest = cuda::Largest{}(largest, row[v]); });
  return cuda::block_max<kThreads>(largest);
}

/// The key of the k-th largest logit.
__device__ uint32_t kth_largest(const float* row, int64_t classes, unsigned k) {
  TERRACE_SHARED(counts, unsigned[kThreads]);
  TERRACE_SHARED(chosen, unsigned[2]);  // the key's next byte, and how many logits with it are among the k largest
  uint32_t key = 0, known = 0;          // the bits found so far, and the mask of them
  for (int shift = 24; shift >= 0; shift -= 8) {
    counts[threadIdx.x] = 0;
    __syncthreads();
    for_classes(classes, [&](int64_t v) {
      const uint32_t bits = ordered_bits(row[v]);
      if ((bits & known) == key) { atomicAdd(&counts[bits >> shift & 0xffu], 1u); }
    });
    __syncthreads();
    // From the largest byte down, the one at which the counts reach k.
    const unsigned byte = kThreads - 1 - threadIdx.x, own = counts[byte];
    unsigned total;
    const unsigned up_to = cuda::block_scan<kThreads>(own, total);
    if (up_to >= k && up_to - own < k) {
      chosen[0] = byte;
      chosen[1] = k - (up_to - own);
    }
    __syncthreads();
    key |= chosen[0] << shift;
    known |= 0xffu << shift;
    k = chosen[1];
    __syncthreads();
  }
  return key;
}

__device__ void keep_largest(float* row, int64_t classes, int64_t k) {
  const uint32_t smallest_kept = kth_largest(row, classes, static_cast<unsigned>(k));
  for_classes(classes, [&](int64_t v) {
    if (ordered_bits(row[v]) < smallest_kept) { row[v] = -std::numeric_limits<float>::infinity(); }
  });
  __syncthreads();
}

/// The sum of the weights whose keys are at most `key`.
__device__ double mass_up_to(const float* row, const float* weights, int64_t classes, uint32_t key) {
  double mass = 0;
  for_classes(classes, [&](int64_t v) {
    if (ordered_bits(row[v]) <= key) { mass += static_cast<double>(weights[v]); }
  });
  return cuda::block_sum<kThreads>(mass);
}

/// Drops the logits below the border, and of those equal to it, which are equally probable, the first `dropped`.
__device__ void drop_below(float* row, int64_t classes, uint32_t border, unsigned dropped) {
  unsigned before = 0;  // logits equal to the border in earlier iterations
  for (int64_t begin = 0; begin < classes; begin += kThreads) {
    const int64_t v = begin + threadIdx.x;
    const uint32_t key = v < classes ? ordered_bits(row[v]) : ~0u;
    const bool equal = v < classes && key == border;
    unsigned total;
    const unsigned up_to = before + cuda::block_scan<kThreads>(equal ? 1u : 0u, total);
    before += total;
    if ((v < classes && key < border) || (equal && up_to <= dropped)) {
      row[v] = -std::numeric_limits<float>::infinity();
    }
  }
  __syncthreads();
}

__device__ void keep_nucleus(float* row, float* weights, int64_t classes, double p) {
  const float largest = largest_of(row, classes);
  for_classes(classes, [&](int64_t v) { weights[v] = weight_of(row[v], largest); });
  // No barrier is needed: a thread reads the weights that it wrote itself.
  const double total = mass_up_to(row, weights, classes, ~0u);
  const auto may_be_dropped = [&](double mass) { return mass / total <= 1 - p; };
  const uint32_t top = ordered_bits(largest);
  // The border: the smallest key up to which there is more probability than may be dropped, or the key of the best.
  uint32_t low = 0, high = top;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (may_be_dropped(mass_up_to(row, weights, classes, middle))) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  const uint32_t border = low;
  const double below = border == 0 ? 0.0 : mass_up_to(row, weights, classes, border - 1);
  unsigned equals = 0;
  float weight = 0;
  for_classes(classes, [&](int64_t v) {
    if (ordered_bits(row[v]) != border) { return; }
    ++equals;
    weight = weights[v];
  });
  equals = cuda::block_reduce<kThreads>(equals, cuda::Plus{});
  weight = cuda::block_max<kThreads>(weight);
  const unsigned limit = border == top ? equals - 1 : equals;  // one of the best stays
  unsigned dropped = 0;
  for (double mass = below; dropped < limit; ++dropped) {
    mass += static_cast<double>(weight);
    if (!may_be_dropped(mass)) { break; }
  }
  drop_below(row, classes, border, dropped);
}

__global__ void __launch_bounds__(kThreads)
    filter_rows(float* logits, float* weights, int64_t rows, int64_t classes, int64_t top_k, double top_p) {
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    float* row = logits + r * classes;
    if (top_k > 0 && top_k < classes) { keep_largest(row, classes, top_k); }
    if (top_p > 0) { keep_nucleus(row, weights + blockIdx.x * classes, classes, top_p); }
  }
}

struct Smallest {
  __device__ int64_t operator()(int64_t a, int64_t b) const { return a < b ? a : b; }
};

/// The uniform draw of each row; its number is the row's token, as var/transformer/sampler.h says.
struct Draws {
  const int64_t* seeds;
  int64_t tokens;
  uint64_t stream, first;
  __device__ double of_row(int64_t r) const {
    return uniform_draw(static_cast<uint64_t>(seeds[r / tokens]), stream, first + static_cast<uint64_t>(r % tokens));
  }
};

__global__ void __launch_bounds__(kThreads)
    draw_rows(const float* logits, int64_t* index, int64_t classes, Draws draws) {
  const float* row = logits + blockIdx.x * classes;
  const float largest = largest_of(row, classes);
  double sum = 0;
  for_classes(classes, [&](int64_t v) { sum += static_cast<double>(weight_of(row[v], largest)); });
  const double target = draws.of_row(blockIdx.x) * cuda::block_sum<kThreads>(sum);
  double before = 0;
  // This thread's last class of positive weight. The block's last one is drawn where rounding leaves the cumulative sum
  // below the target.
  int64_t last = 0;
  for (int64_t begin = 0; begin < classes; begin += kThreads) {
    const int64_t v = begin + threadIdx.x;
    const double weight = v < classes ? static_cast<double>(weight_of(row[v], largest)) : 0.0;
    double total;
    const double cumulative = before + cuda::block_scan<kThreads>(weight, total);
    before += total;
    if (weight > 0) { last = v; }
    const int64_t found = cuda::block_reduce<kThreads>(weight > 0 && cumulative > target ? v : classes, Smallest{});
    if (found == classes) { continue; }
    if (threadIdx.x == 0) { index[blockIdx.x] = found; }
    return;  // the whole block
  }
  last = cuda::block_max<kThreads>(last);
  if (threadIdx.x == 0) { index[blockIdx.x] = last; }
}

__global__ void __launch_bounds__(kThreads) smooth_rows(float* logits, int64_t classes, GumbelSoftmax how) {
  float* row = logits + blockIdx.x * classes;
  const auto seed = static_cast<uint64_t>(how.seeds[blockIdx.x / how.tokens]);
  const uint64_t stream = how.stream + how.first + blockIdx.x % how.tokens;
  for_classes(classes, [&](int64_t v) {
    const double drawn = uniform_draw(seed, stream, static_cast<uint64_t>(v)), u = drawn > 0x1p-25 ? drawn : 0x1p-25;
    row[v] = static_cast<float>((static_cast<double>(row[v]) * how.sharpness - std::log(-std::log(u))) / how.tau);
  });
  // No barrier is needed: a thread reads the logits that it wrote itself.
  const float largest = largest_of(row, classes);
  double sum = 0;
  for_classes(classes, [&](int64_t v) { sum += static_cast<double>(row[v] = weight_of(row[v], largest)); });
  const double total = cuda::block_sum<kThreads>(sum);
  for_classes(classes, [&](int64_t v) { row[v] = static_cast<float>(static_cast<double>(row[v]) / total); });
}

void smooth(float* logits, int64_t rows, int64_t classes, GumbelSoftmax how) {
  cuda::launch("gumbel_softmax", smooth_rows, cuda::Grid(rows, kThreads), logits, classes, how);
}

void filter(float* logits, int64_t rows, int64_t classes, int64_t top_k, double top_p) {
  const int64_t blocks = rows < kMaxBlocks ? rows : kMaxBlocks;
  const cuda::Scratch weights(top_p > 0 ? static_cast<size_t>(blocks * classes) * sizeof(float) : 0);
  cuda::launch("filter_logits_", filter_rows, cuda::Grid(blocks, kThreads), logits, weights.as<float>(), rows, classes,
               top_k, top_p);
}

void draw(const float* logits, int64_t rows, int64_t classes, int64_t tokens, const int64_t* seeds, uint64_t stream,
          uint64_t first, int64_t* index) {
  cuda::launch("sample", draw_rows, cuda::Grid(rows, kThreads), logits, index, classes,
               Draws{seeds, tokens, stream, first});
}

TERRACE_REGISTER(gumbel_softmax, smooth);
TERRACE_REGISTER(filter_logits, filter);
TERRACE_REGISTER(draw_classes, draw);

}  // namespace
}  // namespace terrace
