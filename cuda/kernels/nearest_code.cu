// The nearest code of every vector: the product of the two tables and its minimum in one kernel, so that the products,
// (rows, codes) of them, are never written. A block keeps 64 vectors and goes over all codes in tiles of 64; a thread
// has 4 x 4 products and the best code so far of its 4 vectors. Codes come in ascending order, so the first among
// equals stays.
#include "cuda/device/candidates.h"
#include "cuda/device/collectives.h"
#include "tensor/base/math.h"
#include "tensor/kernels/nearest_code.h"

namespace terrace {
namespace {

constexpr int kTile = 64;   // vectors, and codes, of a tile
constexpr int kDepth = 16;  // columns of both in shared memory at a time
constexpr int kEach = 4;    // vectors, and codes, of a thread
constexpr int kSide = kTile / kEach;
constexpr int kThreads = kSide * kSide;

/// Columns lie one after another, so that a thread reads its four neighbours at once; the padding spreads the columns
/// that a warp writes over the banks.
template <class T>
using Tile = T[kDepth][kTile + kEach];

/// Columns [first, first + kDepth) of kTile rows from `row` on, zeros beyond the table.
template <class T>
__device__ void load_tile(Tile<T>& tile, const T* table, int64_t rows, int64_t cols, int64_t row, int64_t first) {
  for (int e = static_cast<int>(threadIdx.x); e < kTile * kDepth; e += kThreads) {
    const int r = e / kDepth, c = e % kDepth;
    const bool inside = row + r < rows && first + c < cols;
    tile[c][r] = inside ? table[(row + r) * cols + first + c] : T(0);
  }
}

struct Tables {
  int64_t rows, codes, cols;
};

template <class T>
__device__ void multiply_tiles(T (&products)[kEach][kEach], const T* x, const T* table, const Tables& t, int64_t row,
                               int64_t code) {
  TERRACE_SHARED(vectors, Tile<T>);
  TERRACE_SHARED(candidates, Tile<T>);
  const int mine = static_cast<int>(threadIdx.x) / kSide * kEach,
            theirs = static_cast<int>(threadIdx.x) % kSide * kEach;
  for (int64_t first = 0; first < t.cols; first += kDepth) {
    load_tile(vectors, x, t.rows, t.cols, row, first);
    load_tile(candidates, table, t.codes, t.cols, code, first);
    __syncthreads();
#pragma unroll
    for (int c = 0; c < kDepth; ++c) {
      const auto a = cuda::load_pack<kEach>(&vectors[c][mine]);
      const auto b = cuda::load_pack<kEach>(&candidates[c][theirs]);
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
#pragma unroll
        for (int j = 0; j < kEach; ++j) { products[i][j] += a.v[i] * b.v[j]; }
      }
    }
    __syncthreads();
  }
}

/// Null norms: the largest product. A NaN wins there, as in argmax; a distance of NaN is never the least.
template <class T>
__global__ void __launch_bounds__(kThreads)
    search(const T* x, const T* table, const T* row_norms, const T* code_norms, int64_t* index, Tables t) {
  const Extreme extreme = row_norms == nullptr ? Extreme::kLargest : Extreme::kSmallest;
  const int64_t row = int64_t{blockIdx.x} * kTile, mine = row + threadIdx.x / kSide * kEach;
  cuda::Candidate<T> best[kEach];
  for (int64_t tile = 0; tile < t.codes; tile += kTile) {
    T products[kEach][kEach] = {};
    multiply_tiles(products, x, table, t, row, tile);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      if (mine + i >= t.rows) { continue; }
#pragma unroll
      for (int j = 0; j < kEach; ++j) {
        const int64_t code = tile + int64_t{threadIdx.x} % kSide * kEach + j;
        if (code >= t.codes) { continue; }
        T score = products[i][j];
        if (row_norms != nullptr) {
          score = row_norms[mine + i] + code_norms[code] - 2 * products[i][j];
          if (score != score) { score = std::numeric_limits<T>::infinity(); }
        }
        best[i] = cuda::better(best[i], cuda::Candidate<T>{score, code}, extreme);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const cuda::Candidate<T> found = cuda::best_of_lanes<kSide>(best[i], extreme);
    if (threadIdx.x % kSide == 0 && mine + i < t.rows) { index[mine + i] = found.index; }
  }
}

constexpr int kRowThreads = 256;
constexpr int kRowsOfBlock = kRowThreads / cuda::kWarpSize;

/// |x|^2 of the row that this warp has; codes are short, a warp to each.
template <class T>
__device__ T squared_norm_of(const T* row, int64_t cols) {
  T sum = 0;
  for (int64_t c = threadIdx.x % cuda::kWarpSize; c < cols; c += cuda::kWarpSize) { sum += row[c] * row[c]; }
  return cuda::warp_reduce(sum, cuda::Plus{});
}

template <class T>
__global__ void __launch_bounds__(kRowThreads) norms_of_rows(const T* x, T* norms, int64_t rows, int64_t cols) {
  const int64_t row = int64_t{blockIdx.x} * kRowsOfBlock + threadIdx.x / cuda::kWarpSize;
  if (row >= rows) {
    return;  // a whole warp
  }
  const T norm = squared_norm_of(x + row * cols, cols);
  if (threadIdx.x % cuda::kWarpSize == 0) { norms[row] = norm; }
}

template <class T>
__global__ void __launch_bounds__(kRowThreads) normalized_rows(const T* x, T* y, int64_t rows, int64_t cols) {
  const int64_t row = int64_t{blockIdx.x} * kRowsOfBlock + threadIdx.x / cuda::kWarpSize;
  if (row >= rows) { return; }
  const T norm = math::sqrt(squared_norm_of(x + row * cols, cols)), least = T(1e-12);
  const T divisor = norm < least ? least : norm;
  for (int64_t c = threadIdx.x % cuda::kWarpSize; c < cols; c += cuda::kWarpSize) {
    y[row * cols + c] = x[row * cols + c] / divisor;
  }
}

template <class T>
void nearest(int64_t rows, int64_t codes, int64_t cols, const T* x, const T* table, const T* row_norms,
             const T* code_norms, int64_t* index) {
  cuda::launch("nearest_code", search<T>, cuda::Grid(cuda::blocks_for(rows, kTile), kThreads), x, table, row_norms,
               code_norms, index, Tables{rows, codes, cols});
}
template <class T>
void row_norms(int64_t rows, int64_t cols, const T* x, T* norms) {
  cuda::launch("nearest_code norms", norms_of_rows<T>, cuda::Grid(cuda::blocks_for(rows, kRowsOfBlock), kRowThreads), x,
               norms, rows, cols);
}
template <class T>
void unit_rows(int64_t rows, int64_t cols, const T* x, T* y) {
  cuda::launch("nearest_code unit rows", normalized_rows<T>,
               cuda::Grid(cuda::blocks_for(rows, kRowsOfBlock), kRowThreads), x, y, rows, cols);
}

TERRACE_REGISTER(nearest_search<float>, nearest<float>);
TERRACE_REGISTER(nearest_search<double>, nearest<double>);
TERRACE_REGISTER(squared_row_norms<float>, row_norms<float>);
TERRACE_REGISTER(squared_row_norms<double>, row_norms<double>);
TERRACE_REGISTER(normalize_rows<float>, unit_rows<float>);
TERRACE_REGISTER(normalize_rows<double>, unit_rows<double>);

}  // namespace
}  // namespace terrace
