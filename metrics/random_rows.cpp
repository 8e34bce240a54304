#include "metrics/random_rows.h"

#include <algorithm>
#include <set>

namespace terrace {

std::vector<int64_t> random_subset(int64_t size, int64_t count, Generator& g) {
  if (count < 0 || count > size) { throw ConfigError(cat("random_subset: ", count, " of ", size)); }
  std::set<int64_t> taken;
  for (int64_t last = size - count; last < size; ++last) {
    const int64_t drawn = g.next_below(last + 1);
    taken.insert(taken.contains(drawn) ? last : drawn);
  }
  return {taken.begin(), taken.end()};
}

std::vector<int64_t> random_resample(int64_t size, Generator& g) {
  std::vector<int64_t> rows(static_cast<size_t>(size));
  for (int64_t& row : rows) { row = g.next_below(size); }
  std::sort(rows.begin(), rows.end());
  return rows;
}

}  // namespace terrace
