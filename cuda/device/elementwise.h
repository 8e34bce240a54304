// Loops over elements: contiguous ones in packs of 16 bytes, strided ones by a LoopPlan.
#pragma once

#include "cuda/device/kernel.h"
#include "tensor/base/loop_plan.h"

namespace terrace::cuda {

inline constexpr int kElementThreads = 256;

/// Calls body.run<N>(first) for packs of N elements, and run<1> for the elements after the last whole pack.
template <int N, class Body>
__global__ void __launch_bounds__(kElementThreads) for_packs(int64_t count, Body body) {
  const int64_t stride = int64_t{gridDim.x} * kElementThreads;
  const int64_t thread = int64_t{blockIdx.x} * kElementThreads + threadIdx.x;
  const int64_t packs = count / N;
  for (int64_t i = thread; i < packs; i += stride) { body.template run<N>(i * N); }
  for (int64_t i = packs * N + thread; i < count; i += stride) { body.template run<1>(i); }
}

/// Runs body.run<1>(i) for each of `count` elements.
template <class Body>
void launch_each(const char* name, int64_t count, const Body& body) {
  launch(name, for_packs<1, Body>, Grid(grid_stride_blocks(count, kElementThreads), kElementThreads), count, body);
}

/// Runs `body` over `count` elements; in packs of N where `aligned` says that every pointer allows it.
template <int N, class Body>
void launch_packs(const char* name, int64_t count, bool aligned, const Body& body) {
  if (aligned) {
    launch(name, for_packs<N, Body>, Grid(grid_stride_blocks(count, kElementThreads * N), kElementThreads), count,
           body);
  } else {
    launch_each(name, count, body);
  }
}

/// Calls body(offsets) for every element of a plan.
template <int Operands, class Body>
__global__ void __launch_bounds__(kElementThreads) for_plan(LoopPlan<Operands> plan, int64_t count, Body body) {
  const int64_t stride = int64_t{gridDim.x} * kElementThreads;
  const int64_t inner = plan.inner();
  for (int64_t i = int64_t{blockIdx.x} * kElementThreads + threadIdx.x; i < count; i += stride) {
    int64_t at[Operands];
    plan.offsets(i / inner, at);
#pragma unroll
    for (int k = 0; k < Operands; ++k) { at[k] += i % inner * plan.strides[k][plan.ndim - 1]; }
    body(at);
  }
}

template <int Operands, class Body>
void launch_plan(const char* name, const LoopPlan<Operands>& plan, const Body& body) {
  const int64_t count = plan.outer() * plan.inner();
  launch(name, for_plan<Operands, Body>, Grid(grid_stride_blocks(count, kElementThreads), kElementThreads), plan, count,
         body);
}

}  // namespace terrace::cuda
