// A part of a set, the same in every run.
#pragma once

#include <cstdint>
#include <vector>

namespace terrace {

/// `count` of `size` rows, ascending, without repetition; all where count is 0 or not below size. A fixed draw, so that
/// a part of a set has the set's mixture of classes however the set is ordered, and two runs take the same part.
std::vector<int64_t> part_of(int64_t size, int64_t count);

}  // namespace terrace
