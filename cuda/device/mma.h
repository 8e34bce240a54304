// The PTX instructions of tensor-core kernels: mma.sync m16n8k16 on bf16 with f32 sums, ldmatrix, cp.async, and what
// goes with them: packed pairs of bf16, powers of 2. Each is emulated for the executor on the same fragments: lanes,
// registers and halves as the PTX manual lays them out ("Matrix fragments for mma.m16n8k16"). wgmma and TMA are not
// emulated.
//
// With group = lane / 4 and pair = lane % 4 a lane holds
//   a[0]: A[group][2 pair, +1]      a[1]: A[group + 8][2 pair, +1]
//   a[2]: A[group][2 pair + 8, +9]  a[3]: A[group + 8][2 pair + 8, +9]
//   b[0]: B[2 pair, +1][group]      b[1]: B[2 pair + 8, +9][group]
//   d[0], d[1]: D[group][2 pair, +1]   d[2], d[3]: D[group + 8][2 pair, +1]
// two bf16 in a register, the one with the smaller index in its lower half.
#pragma once

#include "cuda/device/kernel.h"

namespace terrace::cuda {

#if defined(TERRACE_CUDA_HOST)

namespace emulated {

struct MmaOperand {
  const uint32_t* a;
  const uint32_t* b;
};

inline float half_of(uint32_t word, int which) {
  return std::bit_cast<float>(which == 0 ? word << 16 : word & 0xffff0000u);
}

/// D += A B from the fragments of all lanes; sums over k in ascending order.
inline void mma_lanes(const executor::LaneArguments (&lanes)[32], unsigned) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& operand = *static_cast<const MmaOperand*>(lanes[lane].operand);
    const int group = lane / 4, pair = lane % 4;
    for (int i = 0; i < 4; ++i) {
      for (int half = 0; half < 2; ++half) {
        a[group + 8 * (i % 2)][2 * pair + 8 * (i / 2) + half] = half_of(operand.a[i], half);
        if (i < 2) { b[2 * pair + 8 * i + half][group] = half_of(operand.b[i], half); }
      }
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    float* d = static_cast<float*>(lanes[lane].result);
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + 8 * (i / 2), col = 2 * (lane % 4) + i % 2;
      float sum = 0;
      for (int k = 0; k < 16; ++k) { sum += a[row][k] * b[k][col]; }
      d[i] += sum;
    }
  }
}

/// Four 8x8 matrices of 16-bit elements; lane l gives the address of row l % 8 of matrix l / 8.
template <bool Transposed>
void load_lanes(const executor::LaneArguments (&lanes)[32], unsigned) {
  for (int lane = 0; lane < 32; ++lane) {
    auto* words = static_cast<uint32_t*>(lanes[lane].result);
    for (int m = 0; m < 4; ++m) {
      uint32_t word = 0;
      for (int half = 0; half < 2; ++half) {
        const int row = Transposed ? 2 * (lane % 4) + half : lane / 4;
        const int col = Transposed ? lane / 4 : 2 * (lane % 4) + half;
        const auto* from = *static_cast<const uint16_t* const*>(lanes[8 * m + row].operand);
        word |= static_cast<uint32_t>(from[col]) << (16 * half);
      }
      words[m] = word;
    }
  }
}

}  // namespace emulated

inline void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                         std::source_location at = std::source_location::current()) {
  const emulated::MmaOperand operand{a, b};
  executor::warp_collective(kFullWarp, emulated::mma_lanes, &operand, d, "mma", at);
}
inline void ldmatrix_x4(uint32_t (&words)[4], const BFloat16* row,
                        std::source_location at = std::source_location::current()) {
  executor::warp_collective(kFullWarp, emulated::load_lanes<false>, &row, words, "ldmatrix", at);
}
inline void ldmatrix_x4_transposed(uint32_t (&words)[4], const BFloat16* row,
                                   std::source_location at = std::source_location::current()) {
  executor::warp_collective(kFullWarp, emulated::load_lanes<true>, &row, words, "ldmatrix.trans", at);
}
inline void copy_async_16(void* shared, const void* global) { executor::copy_later(shared, global, 16); }
inline void copy_async_4(void* shared, const void* global) { executor::copy_later(shared, global, 4); }
inline void zero_async_16(void* shared) { executor::copy_later(shared, nullptr, 16); }
inline void copy_async_commit() { executor::commit_copies(); }
template <int GroupsLeft>
void copy_async_wait() {
  executor::wait_for_copies(GroupsLeft);
}
inline uint32_t pack_bf16(float low, float high) {
  return BFloat16(low).bits | static_cast<uint32_t>(BFloat16(high).bits) << 16;
}
inline float exp2_approx(float x) { return std::exp2(x); }

#else

/// D += A B, one warp.
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/// Four 8x8 matrices from shared memory; lane l gives the address of row l % 8 of matrix l / 8.
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&words)[4], const BFloat16* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_transposed(uint32_t (&words)[4], const BFloat16* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}
/// 16 bytes from global to shared memory. The thread that copies sees them after commit and wait, other threads after a
/// barrier behind the wait.
__device__ __forceinline__ void copy_async_16(void* shared, const void* global) {
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
      "l"(__cvta_generic_to_global(global))
      : "memory");
}
__device__ __forceinline__ void copy_async_4(void* shared, const void* global) {
  asm volatile(
      "cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
      "l"(__cvta_generic_to_global(global))
      : "memory");
}
__device__ __forceinline__ void zero_async_16(void* shared) { *static_cast<uint4*>(shared) = uint4{0, 0, 0, 0}; }
__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most the last GroupsLeft groups that this thread committed have not arrived.
template <int GroupsLeft>
__device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(GroupsLeft) : "memory");
}
/// Two values rounded to bf16, packed into a register.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
  uint32_t word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
}
/// 2^x to 2 ulp, by the special function unit; subnormal results are 0.
__device__ __forceinline__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

#endif

}  // namespace terrace::cuda
