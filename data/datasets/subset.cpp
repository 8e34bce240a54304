#include "data/datasets/subset.h"

#include <algorithm>
#include <numeric>

#include "tensor/random.h"
#include "tensor/random_streams.h"

namespace terrace {

std::vector<int64_t> part_of(int64_t size, int64_t count) {
  if (count <= 0 || count >= size) {
    std::vector<int64_t> all(static_cast<size_t>(size));
    std::iota(all.begin(), all.end(), 0);
    return all;
  }
  std::vector<int64_t> rows = random_permutation(size, Generator(0, streams::kPartOfSplit));
  rows.resize(static_cast<size_t>(count));
  std::sort(rows.begin(), rows.end());
  return rows;
}

}  // namespace terrace
