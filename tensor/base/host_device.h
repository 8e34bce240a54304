// Functions that CUDA kernels share with the CPU: TERRACE_HD marks them. It is nothing to a compiler other than nvcc.
#pragma once

#ifdef __CUDACC__
#define TERRACE_HD __host__ __device__
#else
#define TERRACE_HD
#endif
