// The decoders behind read_image.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "tensor/tensor.h"

namespace terrace {

Tensor decode_jpeg(std::span<const uint8_t> bytes, const std::string& name);
Tensor decode_png(std::span<const uint8_t> bytes, const std::string& name);

/// Refuses extents that no memory should be asked for; a damaged header may claim anything.
void check_image_extents(uint64_t height, uint64_t width, const std::string& name);

}  // namespace terrace
