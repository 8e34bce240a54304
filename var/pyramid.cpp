#include "var/pyramid.h"

#include <algorithm>

#include "tensor/base/error.h"

namespace terrace {

Pyramid::Pyramid(std::vector<int64_t> patch_nums) : patch_nums_(std::move(patch_nums)) {
  if (patch_nums_.empty()) { throw ConfigError("patch_nums: needs at least one scale"); }
  constexpr int64_t kMaxSide = 1 << 15;
  constexpr size_t kMaxScales = 256;
  if (patch_nums_.size() > kMaxScales) {
    throw ConfigError(cat("patch_nums: at most ", kMaxScales, " scales, got ", patch_nums_.size()));
  }
  int64_t previous = 0, length = 0;
  for (const int64_t patch : patch_nums_) {
    if (patch < 1 || patch < previous) {
      throw ConfigError(cat("patch_nums: sides must be positive and must not fall, got ", patch, " after ", previous));
    }
    if (patch > kMaxSide) { throw ConfigError(cat("patch_nums: sides must be at most ", kMaxSide, ", got ", patch)); }
    previous = patch;
    length += patch * patch;
    ends_.push_back(length);
  }
}

int64_t Pyramid::scale_of(int64_t token) const {
  if (token < 0 || token >= length()) {
    throw IndexError(cat("Pyramid::scale_of: token ", token, " is outside [0, ", length(), ")"));
  }
  return std::upper_bound(ends_.begin(), ends_.end(), token) - ends_.begin();
}

int64_t Pyramid::row(int64_t token) const {
  const int64_t s = scale_of(token);
  return (token - begin(s)) / patch(s);
}

int64_t Pyramid::column(int64_t token) const {
  const int64_t s = scale_of(token);
  return (token - begin(s)) % patch(s);
}

}  // namespace terrace
