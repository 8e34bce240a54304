// How small an op is computed by the calling thread alone.
#pragma once

#include <cstdint>

namespace terrace {

/// Starting the other threads takes 2 microseconds while they spin, some 50 where they sleep, and milliseconds where
/// other processes use their cores. One thread computes this much in about 10 microseconds.
inline constexpr int64_t kMinParallelElements = int64_t{1} << 15;     // that are read or written once
inline constexpr int64_t kMinParallelRowElements = int64_t{1} << 14;  // of rows with a sum, a maximum or exponentials
inline constexpr int64_t kMinParallelProducts = int64_t{1} << 19;     // multiplications with an addition

}  // namespace terrace
