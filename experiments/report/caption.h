// Text in pictures: a 5x7 bitmap font, and grids of images with a caption under each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/report/image_grid.h"
#include "tensor/tensor.h"

namespace terrace {

inline constexpr int64_t kGlyphHeight = 7, kGlyphAdvance = 6;  // pixels; a glyph is 5 wide

/// Writes `text` into the picture (u8 (H, W, 3)) with its upper left corner at (row, column). Letters are drawn as
/// capitals, characters without a glyph as blanks; what lies outside the picture is left out.
void draw_text(Tensor& image, int64_t row, int64_t column, const std::string& text, Rgb color);

/// `text` in lines of at most `columns` characters and at most `lines` of them: broken at blanks where there are some,
/// cut at the end.
std::vector<std::string> wrap_text(const std::string& text, int64_t columns, int64_t lines);

/// image_grid of u8 (N, H, W, 3) with captions[i] under image i, black on white. Small images are enlarged by a whole
/// factor to about 96 pixels; a caption has up to three lines. Throws ShapeError, DTypeError.
Tensor captioned_grid(const Tensor& images, const std::vector<std::string>& captions, int64_t columns);

}  // namespace terrace
