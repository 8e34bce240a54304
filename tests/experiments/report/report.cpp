// The pieces of the report: statistics, HTML, charts, image grids.
#include <cmath>

#include "data/images/image_file.h"
#include "experiments/report/caption.h"
#include "experiments/report/chart.h"
#include "experiments/report/heatmap.h"
#include "experiments/report/html.h"
#include "experiments/report/image_grid.h"
#include "experiments/report/statistics.h"
#include "tests/support.h"

namespace terrace {
namespace {

TEST(Statistics, MeanAndSampleDeviation) {
  const Spread spread = spread_of({1, 2, 3, 4});
  EXPECT_DOUBLE_EQ(spread.mean, 2.5);
  EXPECT_NEAR(spread.sd, std::sqrt(5.0 / 3), 1e-12);
  EXPECT_EQ(format_spread(spread, 2), "2.50 ± 1.29");
  EXPECT_EQ(format_spread(spread_of({0.5}), 3), "0.500");
  EXPECT_EQ(format_spread(spread_of({}), 3), "–");
}

TEST(Statistics, WhatWasNotMeasuredDoesNotCount) {
  const Spread spread = spread_of({1, std::nan(""), 3});
  EXPECT_EQ(spread.count, 2);
  EXPECT_DOUBLE_EQ(spread.mean, 2);
  EXPECT_EQ(format_spread(spread_of({std::nan("")}), 3), "–");
}

TEST(Statistics, WilsonIntervalAgreesWithTables) {
  const Interval half = wilson_interval(5, 10), none = wilson_interval(0, 10);
  EXPECT_NEAR(half.low, 0.2366, 1e-4);
  EXPECT_NEAR(half.high, 0.7634, 1e-4);
  EXPECT_DOUBLE_EQ(none.low, 0);
  EXPECT_NEAR(none.high, 0.2775, 1e-4);
  EXPECT_TRUE(std::isnan(wilson_interval(0, 0).low));
}

TEST(Statistics, StudentAgreesWithTables) {
  EXPECT_NEAR(student_two_sided_p(4.302653, 2), 0.05, 1e-6);    // t tables, 95 %, df 2
  EXPECT_NEAR(student_two_sided_p(12.706205, 1), 0.05, 1e-6);   // df 1
  EXPECT_NEAR(student_two_sided_p(2.085963, 20), 0.05, 1e-6);   // df 20
  EXPECT_NEAR(student_two_sided_p(1.959964, 1e7), 0.05, 1e-5);  // the normal limit
  EXPECT_NEAR(student_critical(0.05, 2), 4.302653, 1e-5);
  EXPECT_DOUBLE_EQ(student_two_sided_p(0, 5), 1);
}

TEST(Statistics, PairsTakeOutWhatSeedsShare) {
  const PairedComparison c = compare_pairs({1.0, 2.0, 3.0}, {1.5, 2.6, 3.4});
  EXPECT_NEAR(c.difference.mean, 0.5, 1e-12);
  EXPECT_NEAR(c.difference.sd, 0.1, 1e-12);
  EXPECT_NEAR(c.p, 0.01307, 1e-4);  // t = 0.5 / (0.1 / sqrt 3) = 8.66, df 2
  EXPECT_NEAR(c.low, 0.5 - 4.302653 * 0.1 / std::sqrt(3.0), 1e-5);
  EXPECT_TRUE(std::isnan(compare_pairs({1}, {2}).p));
  EXPECT_DOUBLE_EQ(compare_pairs({1, 2}, {1, 2}).p, 1);
}

TEST(Html, EscapesAndIsSelfContained) {
  Html page;
  page.section("A & B", "ab");
  page.text("<script>");
  page.table({.columns = {"name", "x"}, .rows = {{"a\"b", "1"}}, .caption = "it's"});
  page.section("C", "c");
  page.headline({{"1", "<x>"}});
  const std::string html = page.page("T<", "lead", "foot");
  for (const char* text : {"A &amp; B", "&lt;script&gt;", "a&quot;b", "it&#39;s", "<title>T&lt;</title>",
                           "href=\"#ab\"", "prefers-color-scheme:dark"}) {
    EXPECT_NE(html.find(text), std::string::npos) << text;
  }
  for (const char* text : {"http", "<script", "@import", "url("}) {
    EXPECT_EQ(html.find(text), std::string::npos) << text;
  }
}

size_t count_of(const std::string& text, const std::string& piece) {
  size_t count = 0;
  for (size_t at = text.find(piece); at != std::string::npos; at = text.find(piece, at + 1)) { ++count; }
  return count;
}

TEST(Html, TablesHaveTheirColumnsNamesAtEachValue) {
  const std::string markup =
      table_markup({.columns = {"name", "x & y"}, .rows = {{"a", Cell("1")}, {"", "2"}}, .caption = "whole"});
  EXPECT_EQ(count_of(markup, "data-label=\"x &amp; y\""), 2U) << "shown beside the value on a narrow screen";
  EXPECT_NE(markup.find("<td></td>"), std::string::npos) << "what is empty is left out there";
  EXPECT_LT(markup.find("</div>"), markup.find("<figcaption>whole")) << "the caption does not scroll with the table";
  const std::string page = Html().page("t", "", "");
  EXPECT_NE(page.find("@media(max-width:760px)"), std::string::npos);
  EXPECT_NE(page.find("td::before{content:attr(data-label)"), std::string::npos);
}

TEST(Html, WarningsAreSetOff) {
  Html page;
  page.warning("a < b");
  EXPECT_EQ(page.body(), "<p class=\"warning\" role=\"alert\">a &lt; b</p>\n");
}

TEST(Html, AChartAloneInItsRowIsNoLargerThanOneOfTwo) {
  // A page's column is 1124 px at most, and two figures with 26 px between them have 549 px each.
  EXPECT_NE(Html().page("t", "", "").find(".figures svg{width:100%;max-width:560px}"), std::string::npos);
}

TEST(Chart, AxesHaveThreeTicksOrMore) {
  for (const double low : {-1.0, 0.0, 1.0, 3.43, 1e6}) {
    for (const double span : {1e-6, 0.0249, 0.1, 0.251, 1.0, 2.51, 499.0, 1e9}) {
      for (const int count : {2, 3, 5, 6}) {
        EXPECT_GE(ticks(low, low + span, count).size(), 3U) << low << " " << span << " " << count;
        EXPECT_LE(ticks(low, low + span, count).size(), 8U) << low << " " << span << " " << count;
      }
    }
  }
  // A held-out loss from 5.1 to 3.4 had the one tick 5.
  LineChart chart{.y_scale = AxisScale::kLog};
  chart.series.push_back({.name = "", .x = {1, 20, 40}, .y = {5.1, 3.6, 3.4}});
  EXPECT_GE(count_of(chart.svg(), "class=\"grid\""), 3U);
}

TEST(Chart, TicksAreRound) {
  EXPECT_EQ(ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(ticks(-1, 1, 4), (std::vector<double>{-1, -0.5, 0, 0.5, 1}));
  EXPECT_EQ(ticks(3, 3, 4), (std::vector<double>{3}));
}

TEST(Chart, LinesBreakWhereNothingCanBeShown) {
  LineChart chart{.title = "loss", .y_scale = AxisScale::kLog};
  chart.series.push_back({.name = "run", .x = {1, 2, 3, 4, 5}, .y = {10, std::nan(""), 1, 0, 0.1}});
  const std::string svg = chart.svg();
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  const size_t path = svg.find("<path d=\"M", svg.find("</text><line"));
  ASSERT_NE(path, std::string::npos);
}

TEST(Chart, EmptyOnesAreStillCharts) {
  EXPECT_NE(LineChart{}.svg().find("</svg>"), std::string::npos);
  EXPECT_NE(DotChart{}.svg().find("</svg>"), std::string::npos);
  EXPECT_NE(Heatmap{}.svg().find("</svg>"), std::string::npos);
  LineChart constant{.title = "c"};
  constant.series.push_back({.name = "c", .x = {1, 2}, .y = {3, 3}});
  EXPECT_EQ(constant.svg().find("nan"), std::string::npos);
}

TEST(Chart, BandOverRuns) {
  const Series s = band_over("a", {1, 2, 3}, {{1, 2, 3}, {3, 4}}, 1);
  EXPECT_EQ(s.y, (std::vector<double>{2, 3}));
  EXPECT_NEAR(s.high[0], 2 + std::sqrt(2.0), 1e-12);
}

TEST(Chart, HeatmapHasACellPerFiniteValue) {
  Heatmap map{.rows = 2, .columns = 2, .values = {0, 1, std::nan(""), 3}};
  const std::string svg = map.svg();
  size_t cells = 0;
  for (size_t at = svg.find("<rect"); at != std::string::npos; at = svg.find("<rect", at + 1)) { ++cells; }
  EXPECT_EQ(cells, 3U + 40U);  // and the colour bar
  for (const char* end : {">0<", ">1.5<", ">3<"}) { EXPECT_NE(svg.find(end), std::string::npos) << end; }
}

TEST(Chart, AColourBarNamesItsEndsAndItsMiddle) {
  const std::string svg = color_bar_svg(0, 0.0123456, "drift < 1");
  EXPECT_EQ(count_of(svg, "<rect"), 60U);
  for (const char* text : {">0<", ">0.00617<", ">0.0123<", ">drift &lt; 1<"}) {
    EXPECT_NE(svg.find(text), std::string::npos) << text << " in " << svg;
  }
  const size_t dark = svg.find("fill=\"#"), bright = svg.rfind("fill=\"#");
  EXPECT_LT(svg.substr(dark + 7, 2), svg.substr(bright + 7, 2)) << "low values are dark";
}

TEST(ImageGrid, PlacesScalesAndPads) {
  Tensor images = Tensor::zeros({3, 1, 2, 3}, DType::kU8);
  images.select(0, 1).fill_(10);
  images.select(0, 2).fill_(20);
  const Tensor grid = image_grid(images, {.columns = 2, .padding = 1, .upscale = 2, .background = 99});
  EXPECT_EQ(grid.shape(), Shape({5, 9, 3}));
  EXPECT_EQ(
      grid.select(2, 0).to_vector<int>(),
      (std::vector<int>{0,  0,  0,  0,  99, 10, 10, 10, 10, 0,  0,  0,  0,  99, 10, 10, 10, 10, 99, 99, 99, 99, 99,
                        99, 99, 99, 99, 20, 20, 20, 20, 99, 99, 99, 99, 99, 20, 20, 20, 20, 99, 99, 99, 99, 99}));
  expect_error<ShapeError>([] { image_grid(Tensor::zeros({2, 4, 4, 1}, DType::kU8), {}); }, "image_grid");
  expect_error<DTypeError>([] { image_grid(Tensor::zeros({2, 4, 4, 3}), {}); }, "image_grid");
}

TEST(ImageGrid, Base64) {
  const std::string text = "Man";
  const auto encode = [](const std::string& s) {
    return base64({reinterpret_cast<const uint8_t*>(s.data()), s.size()});
  };
  EXPECT_EQ(encode("Man"), "TWFu");
  EXPECT_EQ(encode("Ma"), "TWE=");
  EXPECT_EQ(encode("M"), "TQ==");
  EXPECT_EQ(encode(""), "");
}

TEST(ImageGrid, MatrixColours) {
  const Tensor m = Tensor::from(std::vector<float>{-1, 0, 1, std::nanf("")}, {2, 2});
  const std::vector<int> p = matrix_image(m, ColorMap::kDiverging).to_vector<int>();
  EXPECT_GT(p[2], p[0]);                   // blue below
  EXPECT_EQ(p[3] + p[4] + p[5], 3 * 255);  // white at zero
  EXPECT_GT(p[6], p[8]);                   // red above
  EXPECT_EQ(p[9], 128);                    // grey for NaN
  EXPECT_NE(image_markup(matrix_image(m, ColorMap::kSequential), "m").find("data:image/png;base64,iVBOR"),
            std::string::npos);
}

TEST(ImageGrid, NothingButZerosIsWhite) {
  const Tensor zeros = Tensor::zeros({2, 3});
  for (const int v : matrix_image(zeros, ColorMap::kDiverging).to_vector<int>()) { EXPECT_EQ(v, 255); }
  EXPECT_EQ(signed_range(zeros), "0 throughout");
  EXPECT_EQ(signed_range(Tensor::from(std::vector<float>{-0.5, 0.25}, {1, 2})), "from -0.5 (blue) to 0.5 (red)");
}

/// A picture's dark pixels as text.
std::string ink(const Tensor& picture) {
  std::string text;
  for (int64_t y = 0; y < picture.dim(0); ++y) {
    for (int64_t x = 0; x < picture.dim(1); ++x) {
      text += picture.data<uint8_t>()[(y * picture.dim(1) + x) * 3] < 128 ? '#' : '.';
    }
    text += '\n';
  }
  return text;
}

TEST(Caption, LettersAreDrawnAndCutAtTheEdge) {
  Tensor picture = Tensor::full({8, 14, 3}, 255, DType::kU8);
  draw_text(picture, 1, 0, "a7L", {0, 0, 0});
  EXPECT_EQ(ink(picture),
            "..............\n"
            ".###..#####.#.\n"
            "#...#.....#.#.\n"
            "#...#....#..#.\n"
            "#####...#...#.\n"
            "#...#..#....#.\n"
            "#...#..#....#.\n"
            "#...#..#....##\n");
  Tensor blank = Tensor::full({8, 14, 3}, 255, DType::kU8);
  draw_text(blank, -9, 0, "A", {0, 0, 0});
  draw_text(blank, 0, 0, " \x01\xc3", {0, 0, 0});
  EXPECT_EQ(ink(blank).find('#'), std::string::npos);
}

TEST(Caption, TextIsWrappedAtBlanksAndWhole) {
  using Lines = std::vector<std::string>;
  EXPECT_EQ(wrap_text("red disc top right", 10), (Lines{"red disc", "top right"}));
  EXPECT_EQ(wrap_text("extraordinary dog", 5), (Lines{"extra", "ordin", "ary", "dog"}));
  EXPECT_EQ(wrap_text("exact ten", 9), (Lines{"exact ten"}));
  EXPECT_EQ(wrap_text("", 9), Lines{});
  // A class of ImageNet: eight lines of up to 16 characters.
  const Tensor grid =
      captioned_grid(Tensor::full({1, 32, 32, 3}, 200, DType::kU8),
                     {"great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias"}, 1);
  EXPECT_EQ(grid.dim(0), 96 + 8 * 9 + 2);
}

TEST(Caption, EveryPrintableCharacterOfAsciiHasAGlyph) {
  for (char c = '!'; c <= '~'; ++c) {
    if (std::string("\\`{}").find(c) != std::string::npos) { continue; }
    Tensor picture = Tensor::full({kGlyphHeight, 5, 3}, 255, DType::kU8);
    draw_text(picture, 0, 0, std::string(1, c), {0, 0, 0});
    EXPECT_NE(ink(picture).find('#'), std::string::npos) << c;
  }
}

TEST(Caption, GroupsHaveTheirTitleAbove) {
  const Tensor two = Tensor::full({2, 10, 40, 3}, 200, DType::kU8), one = two.slice(0, 0, 1).contiguous();
  const GridOptions grid{.columns = 2, .padding = 2, .upscale = 1, .background = 255};
  const Tensor picture = titled_grids({{"a", two}, {"b", one}}, grid);
  EXPECT_EQ(picture.shape(), (Shape{2 * (20 + 3 + 10 + 6), 82, 3}));
  EXPECT_EQ(picture.select(0, 23).select(0, 81).to_vector<int>()[0], 200) << "the first group's second image";
  EXPECT_EQ(picture.select(0, 39 + 23).select(0, 81).to_vector<int>()[0], 255) << "the second group has one";
}

TEST(Caption, EveryImageHasItsOwn) {
  Tensor images = Tensor::full({3, 40, 40, 3}, 200, DType::kU8);
  const Tensor grid = captioned_grid(images, {"one", "", "a longer name"}, 2);
  EXPECT_EQ(grid.shape(), (Shape{2 * (80 + 11) + 6, 2 * 80 + 6, 3})) << "enlarged twice, one line of text";
  Tensor text = Tensor::full({kGlyphHeight, 80, 3}, 255, DType::kU8);
  draw_text(text, 0, 0, "one", {0, 0, 0});
  EXPECT_SAME(grid.slice(0, 82, 89).slice(1, 0, 80).contiguous(), text);
  expect_error<ShapeError>([&] { captioned_grid(images, {"one"}, 2); }, "N captions, got (3, 40, 40, 3) u8 cpu and 1");
}

}  // namespace
}  // namespace terrace
