// Rows, each computed by one block: neighbouring threads take neighbouring packs of up to 16 bytes, so that loads
// coalesce.
#pragma once

#include "cuda/device/collectives.h"

namespace terrace::cuda {

/// Calls f(i) for the first element of each of this thread's packs; N divides `cols`.
template <int Threads, int N, class F>
__device__ void for_row_packs(int64_t cols, F&& f) {
  for (int64_t i = int64_t{threadIdx.x} * N; i < cols; i += Threads * N) { f(i); }
}

/// Whether rows of `cols` elements that follow one another from these pointers on are made of whole packs.
template <class... T>
bool are_rows_of_packs(int64_t cols, const T*... rows) {
  return (... && (cols % kPackOf<T> == 0)) && are_pack_aligned(rows...);
}

/// Calls f(elements of a pack), a constant: as many T as fill 16 bytes, or 1.
template <class T, class F>
void with_packs(bool packed, F&& f) {
  if (packed) { return f(std::integral_constant<int, kPackOf<T>>{}); }
  f(std::integral_constant<int, 1>{});
}

/// Calls f(threads of a block, elements of a pack), both constants, for rows of `cols` elements of type T.
template <class T, class F>
void with_row_packs(int64_t cols, bool packed, F&& f) {
  with_packs<T>(packed, [&](auto n) { with_row_threads(cols / n(), [&](auto threads) { f(threads, n); }); });
}

}  // namespace terrace::cuda
