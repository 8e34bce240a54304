// The token pyramid: S square scales of patch(s) x patch(s) tokens, coarse to fine, flattened row by row into one
// sequence of L tokens. Token t of scale s lies in [begin(s), end(s)).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace terrace {

class Pyramid {
 public:
  Pyramid() = default;
  /// Side lengths of the scales, e.g. {1, 2, 3, 4, 5, 6, 8}. Throws ConfigError where empty, not positive or falling.
  explicit Pyramid(std::vector<int64_t> patch_nums);

  int64_t scales() const { return static_cast<int64_t>(patch_nums_.size()); }
  int64_t length() const { return ends_.empty() ? 0 : ends_.back(); }
  int64_t patch(int64_t s) const { return patch_nums_[static_cast<size_t>(s)]; }
  int64_t tokens(int64_t s) const { return patch(s) * patch(s); }
  int64_t begin(int64_t s) const { return s == 0 ? 0 : ends_[static_cast<size_t>(s - 1)]; }
  int64_t end(int64_t s) const { return ends_[static_cast<size_t>(s)]; }
  int64_t largest() const { return patch_nums_.back(); }  // side of the finest scale = of the latent map

  int64_t scale_of(int64_t token) const;  // throws IndexError outside [0, L)
  int64_t row(int64_t token) const;       // within its scale
  int64_t column(int64_t token) const;

  const std::vector<int64_t>& patch_nums() const { return patch_nums_; }
  /// end(0), end(1), ...: the visible keys of each scale's queries.
  const std::vector<int64_t>& ends() const { return ends_; }
  bool operator==(const Pyramid&) const = default;

 private:
  std::vector<int64_t> patch_nums_, ends_;
};

}  // namespace terrace
