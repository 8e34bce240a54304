// Seeded draws of rows: subsets and bootstrap samples.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/random.h"

namespace terrace {

/// `count` of 0..size-1 without repetition, ascending (Floyd's algorithm: memory of `count`). count <= size.
std::vector<int64_t> random_subset(int64_t size, int64_t count, Generator& g);
/// `size` draws of 0..size-1 with repetition, ascending.
std::vector<int64_t> random_resample(int64_t size, Generator& g);

}  // namespace terrace
