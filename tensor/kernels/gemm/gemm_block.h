// Matrix products by packed panels: the block of C that one thread computes. tensor/gemm/packed_gemm.cpp divides the
// work.
#pragma once

#include "tensor/device/kernel.h"
#include "tensor/kernels/gemm/gemm_shape.h"

namespace terrace {

// Blocks of the loops. Panels of A and B are kGemmDepth long along K, so that a panel of B stays in the L1 cache;
// kGemmRows rows of A stay in the L2 cache. K is divided in the same way whatever M, N and the number of threads are:
// each element of C is summed in an order that K alone decides.
inline constexpr int64_t kGemmDepth = 512;
inline constexpr int64_t kGemmRows = 120;
inline constexpr int64_t kGemmColumns = 1024;
inline constexpr int64_t kGemmRowPanel = 12;     // rows of A in a panel: the most of any backend
inline constexpr int64_t kGemmColumnPanel = 32;  // columns of B in a panel: the most of any backend

/// Floats of workspace for one call: packed A, the floats written past its last panel, packed B.
inline constexpr int64_t kGemmWorkspace =
    (kGemmRows + kGemmRowPanel) * kGemmDepth + 64 + (kGemmColumns + kGemmColumnPanel) * kGemmDepth;

/// C (M, N) = op(A) op(B) [+ C] [+ bias]. bias: (N) or null, with Write::kOverwrite only.
/// Source: Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), for the loops.
inline constinit Kernel<void(const GemmShape& shape, const float* a, const float* b, const float* bias, float* c,
                             Write write, float* workspace)>
    gemm_block{"gemm"};

}  // namespace terrace
