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

/// `text` in lines of at most `columns` characters, broken at blanks where there are some.
std::vector<std::string> wrap_text(const std::string& text, int64_t columns);

/// image_grid of u8 (N, H, W, 3) with captions[i] under image i, black on white. Small images are enlarged by a whole
/// factor to about 96 pixels; a caption has as many lines as it needs. Throws ShapeError, DTypeError.
Tensor captioned_grid(const Tensor& images, const std::vector<std::string>& captions, int64_t columns);

/// Groups of images u8 (N, H, W, 3), each an image_grid under its title, one below the other.
struct TitledImages {
  std::string title;
  Tensor images;
};
/// Titles are black on options.background, at twice the font's size. Throws ShapeError, DTypeError.
Tensor titled_grids(const std::vector<TitledImages>& groups, const GridOptions& options);

}  // namespace terrace
