// Padding of the last two dimensions, shared by convolution, pooling and pad2d.
#pragma once

#include <cstdint>

namespace terrace {

/// Rows and columns of zeros beyond each edge.
struct Padding2d {
  int64_t top = 0, bottom = 0, left = 0, right = 0;
  bool operator==(const Padding2d&) const = default;
};

}  // namespace terrace
