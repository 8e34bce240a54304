// Picture files of every kind, made for the tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace terrace {

/// A smooth picture, u8 (H, W, 3), that lossy compression changes little.
Tensor smooth_picture(int64_t height, int64_t width);

/// pixels: u8 (H, W, channels). 1: grey, 3: YCbCr of RGB, 4: CMYK (as given; with Adobe's marker).
void write_jpeg(const std::string& path, const Tensor& pixels);

/// A PNG of any colour type (PNG_COLOR_TYPE_...) and depth from rows of packed bytes; `palette` as r, g, b triples.
void write_raw_png(const std::string& path, int64_t height, int64_t width, int depth, int color,
                   const std::vector<std::vector<uint8_t>>& rows, const std::vector<uint8_t>& palette = {},
                   bool interlaced = false);

}  // namespace terrace
