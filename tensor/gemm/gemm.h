// Matrix products of raw row-major matrices: C (M,N) = op(A) op(B) [+ C]. Ours (packed_gemm.cpp) and
// OpenBLAS's (openblas_gemm.cpp); gemm() takes ours for f32.
#pragma once

#include "tensor/device/kernel.h"
#include "tensor/kernels/gemm/gemm_shape.h"

namespace terrace {

void openblas_gemm(const GemmShape& shape, const float* a, const float* b, float* c, Write write);
void openblas_gemm(const GemmShape& shape, const double* a, const double* b, double* c, Write write);
/// Ours (tensor/kernels/gemm/gemm_block.h): element (m, n) is summed over k in an order that K alone decides, so a
/// row's result does not depend on the rows beside it or on the number of threads.
void packed_gemm(const GemmShape& shape, const float* a, const float* b, float* c, Write write,
                 const float* bias = nullptr);

/// f32: ours, by shape (see gemm.cpp), the same bits with any number of threads. f64: OpenBLAS, deterministic for a
/// fixed number of threads. Inside a parallel region all run on the calling thread alone. `bias` (N), or null, is added
/// to every row; it goes with Write::kOverwrite only.
void gemm(const GemmShape& shape, const float* a, const float* b, float* c, Write write, const float* bias = nullptr);
void gemm(const GemmShape& shape, const double* a, const double* b, double* c, Write write);

/// Throws ShapeError where an extent does not fit OpenBLAS's integers. The products check it themselves; a caller
/// inside a parallel region, out of which nothing may be thrown, checks before it.
void check_openblas_extents(const GemmShape& shape);

const char* openblas_version();

}  // namespace terrace
