#include "experiments/report/caption.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

namespace terrace {
namespace {

constexpr int64_t kGlyphWidth = 5;

/// Glyphs side by side, one blank column between two.
struct GlyphBank {
  std::string_view characters;
  std::array<std::string_view, kGlyphHeight> rows;
};

// clang-format off
constexpr std::array<GlyphBank, 4> kFont = {{
    {"ABCDEFGHIJKLMNOP",
     {".###. ####. .###. ####. ##### ##### .###. #...# .###. ..### #...# #.... #...# #...# .###. ####.",
      "#...# #...# #...# #...# #.... #.... #...# #...# ..#.. ...#. #..#. #.... ##.## ##..# #...# #...#",
      "#...# #...# #.... #...# #.... #.... #.... #...# ..#.. ...#. #.#.. #.... #.#.# #.#.# #...# #...#",
      "##### ####. #.... #...# ####. ####. #.### ##### ..#.. ...#. ##... #.... #.#.# #..## #...# ####.",
      "#...# #...# #.... #...# #.... #.... #...# #...# ..#.. ...#. #.#.. #.... #...# #...# #...# #....",
      "#...# #...# #...# #...# #.... #.... #...# #...# ..#.. #..#. #..#. #.... #...# #...# #...# #....",
      "#...# ####. .###. ####. ##### #.... .###. #...# .###. .##.. #...# ##### #...# #...# .###. #...."}},
    {"QRSTUVWXYZ012345",
     {".###. ####. .#### ##### #...# #...# #...# #...# #...# ##### .###. ..#.. .###. ##### ...#. #####",
      "#...# #...# #.... ..#.. #...# #...# #...# #...# #...# ....# #...# .##.. #...# ...#. ..##. #....",
      "#...# #...# #.... ..#.. #...# #...# #...# .#.#. .#.#. ...#. #..## ..#.. ....# ..#.. .#.#. ####.",
      "#...# ####. .###. ..#.. #...# #...# #.#.# ..#.. ..#.. ..#.. #.#.# ..#.. ...#. ...#. #..#. ....#",
      "#.#.# #.#.. ....# ..#.. #...# #...# #.#.# .#.#. ..#.. .#... ##..# ..#.. ..#.. ....# ##### ....#",
      "#..#. #..#. ....# ..#.. #...# .#.#. ##.## #...# ..#.. #.... #...# ..#.. .#... #...# ...#. #...#",
      ".##.# #...# ####. ..#.. .###. ..#.. #...# #...# ..#.. ##### .###. .###. ##### .###. ...#. .###."}},
    {"6789.,-+/:()%'_=",
     {"..##. ##### .###. .###. ..... ..... ..... ..... ....# ..... ...#. .#... ##..# ..#.. ..... .....",
      ".#... ....# #...# #...# ..... ..... ..... ..#.. ....# .##.. ..#.. ..#.. ##..# ..#.. ..... .....",
      "#.... ...#. #...# #...# ..... ..... ..... ..#.. ...#. .##.. .#... ...#. ...#. ..#.. ..... #####",
      "####. ..#.. .###. .#### ..... ..... .###. ##### ..#.. ..... .#... ...#. ..#.. ..... ..... .....",
      "#...# .#... #...# ....# ..... .##.. ..... ..#.. .#... .##.. .#... ...#. .#... ..... ..... #####",
      "#...# .#... #...# ...#. .##.. ..#.. ..... ..#.. #.... .##.. ..#.. ..#.. #..## ..... ..... .....",
      ".###. .#... .###. .##.. .##.. .#... ..... ..... #.... ..... ...#. .#... #..## ..... ##### ....."}},
    {"!?&@#*;\"<>[]$|^~",
     {"..#.. .###. .##.. .###. .#.#. ..... ..... .#.#. ...#. .#... .###. .###. ..#.. ..#.. ..#.. .....",
      "..#.. #...# #..#. #...# .#.#. ..#.. .##.. .#.#. ..#.. ..#.. .#... ...#. .#### ..#.. .#.#. .....",
      "..#.. ....# #.#.. #.### ##### #.#.# .##.. .#.#. .#... ...#. .#... ...#. #.#.. ..#.. #...# .#...",
      "..#.. ...#. .#... #.#.# .#.#. .###. ..... ..... #.... ....# .#... ...#. .###. ..#.. ..... #.#.#",
      "..#.. ..#.. #.#.# #.### ##### #.#.# .##.. ..... .#... ...#. .#... ...#. ..#.# ..#.. ..... ...#.",
      "..... ..... #..#. #.... .#.#. ..#.. ..#.. ..... ..#.. ..#.. .#... ...#. ####. ..#.. ..... .....",
      "..#.. ..#.. .##.# .#### .#.#. ..... .#... ..... ...#. .#... .###. .###. ..#.. ..#.. ..... ....."}},
}};
// clang-format on

bool has_ink(char c, int64_t row, int64_t column) {
  const char upper = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  for (const GlyphBank& bank : kFont) {
    const size_t at = bank.characters.find(upper);
    if (at == std::string_view::npos) { continue; }
    return bank.rows[static_cast<size_t>(row)][at * kGlyphAdvance + static_cast<size_t>(column)] == '#';
  }
  return false;
}

}  // namespace

void draw_text(Tensor& image, int64_t row, int64_t column, const std::string& text, Rgb color) {
  check_dtype(image, DType::kU8, "draw_text", "image");
  check_ndim(image, 3, "draw_text", "image");
  const int64_t H = image.dim(0), W = image.dim(1);
  uint8_t* pixels = image.data<uint8_t>();
  for (size_t i = 0; i < text.size(); ++i) {
    const int64_t left = column + static_cast<int64_t>(i) * kGlyphAdvance;
    for (int64_t y = 0; y < kGlyphHeight; ++y) {
      for (int64_t x = 0; x < kGlyphWidth; ++x) {
        const int64_t to_y = row + y, to_x = left + x;
        if (!has_ink(text[i], y, x) || to_y < 0 || to_y >= H || to_x < 0 || to_x >= W) { continue; }
        uint8_t* p = pixels + (to_y * W + to_x) * 3;
        p[0] = color.r;
        p[1] = color.g;
        p[2] = color.b;
      }
    }
  }
}

std::vector<std::string> wrap_text(const std::string& text, int64_t columns) {
  const auto width = static_cast<size_t>(std::max<int64_t>(columns, 1));
  std::vector<std::string> wrapped;
  size_t begin = 0;
  while (begin < text.size()) {
    size_t end = std::min(begin + width, text.size());
    if (end < text.size()) {
      const size_t blank = text.rfind(' ', end);
      if (blank != std::string::npos && blank > begin) { end = blank; }
    }
    wrapped.push_back(text.substr(begin, end - begin));
    begin = end < text.size() && text[end] == ' ' ? end + 1 : end;
  }
  return wrapped;
}

Tensor titled_grids(const std::vector<TitledImages>& groups, const GridOptions& options) {
  constexpr int64_t kTextScale = 2, kMargin = 3;
  constexpr Rgb kBlack{0, 0, 0};
  std::vector<Tensor> parts;
  int64_t width = 0, height = 0;
  for (const TitledImages& group : groups) {
    parts.push_back(image_grid(group.images, options));
    width = std::max(width, parts.back().dim(1));
  }
  const int64_t text_width = std::max<int64_t>(width / kTextScale, 1);
  std::vector<std::vector<std::string>> titles;
  for (size_t i = 0; i < groups.size(); ++i) {
    titles.push_back(wrap_text(groups[i].title, (text_width + 1) / kGlyphAdvance));
    height += static_cast<int64_t>(titles[i].size()) * (kGlyphHeight + kMargin) * kTextScale + kMargin +
              parts[i].dim(0) + 2 * kMargin;
  }
  Tensor picture = Tensor::full({height, width, 3}, options.background, DType::kU8);
  int64_t top = 0;
  for (size_t i = 0; i < groups.size(); ++i) {
    for (const std::string& line : titles[i]) {
      Tensor text = Tensor::full({1, kGlyphHeight + kMargin, text_width, 3}, options.background, DType::kU8);
      Tensor row = text.select(0, 0);
      draw_text(row, kMargin, 0, line, kBlack);
      const Tensor large = image_grid(text, {.columns = 1, .padding = 0, .upscale = kTextScale});
      picture.slice(0, top, top + large.dim(0)).slice(1, 0, large.dim(1)).copy_(large);
      top += large.dim(0);
    }
    top += kMargin;
    picture.slice(0, top, top + parts[i].dim(0)).slice(1, 0, parts[i].dim(1)).copy_(parts[i]);
    top += parts[i].dim(0) + 2 * kMargin;
  }
  return picture;
}

Tensor captioned_grid(const Tensor& images, const std::vector<std::string>& captions, int64_t columns) {
  constexpr int64_t kCellWidth = 96, kLeading = 2, kGap = 6;
  constexpr Rgb kBlack{0, 0, 0};
  if (images.ndim() != 4 || images.dim(0) != static_cast<int64_t>(captions.size())) {
    throw ShapeError(cat("captioned_grid: needs images (N,H,W,3) and N captions, got ", images.describe(), " and ",
                         captions.size()));
  }
  const GridOptions one{.columns = 1, .padding = 0, .upscale = std::max<int64_t>(1, kCellWidth / images.dim(2))};
  const int64_t H = images.dim(1) * one.upscale, W = images.dim(2) * one.upscale;
  std::vector<std::vector<std::string>> wrapped;
  size_t lines = 0;
  for (const std::string& caption : captions) {
    wrapped.push_back(wrap_text(caption, (W + 1) / kGlyphAdvance));
    lines = std::max(lines, wrapped.back().size());
  }
  const int64_t line = kGlyphHeight + kLeading, below = static_cast<int64_t>(lines) * line + kLeading;
  Tensor cells = Tensor::full({images.dim(0), H + below, W, 3}, 255, DType::kU8);
  for (int64_t i = 0; i < images.dim(0); ++i) {
    Tensor cell = cells.select(0, i);
    cell.slice(0, 0, H).copy_(image_grid(images.slice(0, i, i + 1), one));
    const auto& text = wrapped[static_cast<size_t>(i)];
    for (size_t k = 0; k < text.size(); ++k) {
      draw_text(cell, H + kLeading + static_cast<int64_t>(k) * line, 0, text[k], kBlack);
    }
  }
  return image_grid(cells, {.columns = columns, .padding = kGap, .upscale = 1, .background = 255});
}

}  // namespace terrace
