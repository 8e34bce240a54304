#include "experiments/report/heatmap.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <tuple>
#include <utility>

#include "experiments/report/chart.h"
#include "experiments/report/image_grid.h"
#include "experiments/report/svg.h"

namespace terrace {
namespace {

/// To three significant digits, for the ends of the colour bar.
double rounded(double v) {
  if (v == 0 || !std::isfinite(v)) { return v; }
  const double unit = std::pow(10.0, std::floor(std::log10(std::fabs(v))) - 2);
  return std::round(v / unit) * unit;
}

std::string color_of(double share) {
  const Rgb rgb = map_color(ColorMap::kSequential, share);
  char color[16];
  std::snprintf(color, sizeof color, "#%02x%02x%02x", rgb.r, rgb.g, rgb.b);
  return color;
}

/// The ends of the colour scale.
std::pair<double, double> range_of(const Heatmap& map) {
  if (map.low != map.high) { return {map.low, map.high}; }
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const double v : map.values) {
    if (std::isfinite(v)) { low = std::min(low, v), high = std::max(high, v); }
  }
  return {low, low < high ? high : low + 1};
}

/// One drawing of a map: where its cells lie, and its parts.
class Drawing {
 public:
  explicit Drawing(const Heatmap& map)
      : map_(map),
        left_((map.y_label.empty() ? 8 : 26) + (map.row_names.empty() ? 0 : 44)),
        top_(map.title.empty() ? 6 : 28) {
    std::tie(low_, high_) = range_of(map);
    cell_width_ = static_cast<double>(map.width - left_ - 74) / static_cast<double>(std::max<int64_t>(map.columns, 1));
    cell_height_ = map.height > 0 ? static_cast<double>(map.height - top_ - 44) /
                                        static_cast<double>(std::max<int64_t>(map.rows, 1))
                                  : cell_width_;
    bottom_ = top_ + cell_height_ * static_cast<double>(map.rows);
    right_ = left_ + cell_width_ * static_cast<double>(map.columns);
  }

  std::string svg() const {
    std::string out = open_svg(map_.width, static_cast<int>(bottom_) + 44, map_.title);
    if (!map_.title.empty()) { out += svg_text(4, 16, "title", "start", map_.title); }
    out += "<g shape-rendering=\"crispEdges\">" + cells() + color_bar() + "</g>";
    if (map_.print_values) { out += printed_values(); }
    return out + labels() + "</svg>";
  }

 private:
  double share_of(double v) const { return (v - low_) / (high_ - low_); }

  std::string cells() const {
    std::string out;
    for (int64_t r = 0; r < map_.rows; ++r) {
      for (int64_t c = 0; c < map_.columns; ++c) {
        const double v = map_.values[static_cast<size_t>(r * map_.columns + c)];
        if (!std::isfinite(v)) { continue; }
        out += "<rect x=\"" + svg_number(left_ + cell_width_ * static_cast<double>(c)) + "\" y=\"" +
               svg_number(top_ + cell_height_ * static_cast<double>(r)) + "\" width=\"" +
               svg_number(cell_width_ + 0.3) + "\" height=\"" + svg_number(cell_height_ + 0.3) + "\" fill=\"" +
               color_of(share_of(v)) + "\"/>";
      }
    }
    return out;
  }

  std::string color_bar() const {
    constexpr int kSteps = 40;
    std::string out;
    for (int i = 0; i < kSteps; ++i) {
      out += "<rect x=\"" + svg_number(right_ + 12) + "\" y=\"" +
             svg_number(top_ + (bottom_ - top_) * (kSteps - 1 - i) / kSteps) + "\" width=\"11\" height=\"" +
             svg_number((bottom_ - top_) / kSteps + 0.4) + "\" fill=\"" + color_of((i + 0.5) / kSteps) + "\"/>";
    }
    return out;
  }

  std::string printed_values() const {
    std::string out;
    for (size_t i = 0; i < map_.values.size() && map_.columns > 0; ++i) {
      const double v = map_.values[i];
      if (!std::isfinite(v)) { continue; }
      char text[24];
      std::snprintf(text, sizeof text, "%.2g", v);
      const auto at = static_cast<int64_t>(i);
      out += svg_text(left_ + cell_width_ * (static_cast<double>(at % map_.columns) + 0.5),
                      top_ + cell_height_ * (static_cast<double>(at / map_.columns) + 0.5) + 4, "tick", "middle", text,
                      share_of(v) > 0.55 ? " style=\"fill:#111\"" : " style=\"fill:#fff\"");
    }
    return out;
  }

  /// Of the colour bar, of the rows and columns as far as there is room, of the axes.
  std::string labels() const {
    std::string out =
        svg_text(right_ + 28, bottom_, "tick", "start", tick_text(rounded(low_))) +
        svg_text(right_ + 28, (top_ + bottom_) / 2 + 4, "tick", "start", tick_text(rounded((low_ + high_) / 2))) +
        svg_text(right_ + 28, top_ + 9, "tick", "start", tick_text(rounded(high_)));
    // Every row where there is room, else every second, fifth, tenth and so on.
    const auto stride = [](double cell, double needed) {
      const double cells = needed / std::max(cell, 0.1);
      return cells <= 1 ? size_t{1} : static_cast<size_t>(std::ceil(round_step(std::ceil(cells))));
    };
    for (size_t r = 0; r < map_.row_names.size(); r += stride(cell_height_, 13)) {
      out += svg_text(left_ - 7, top_ + cell_height_ * (static_cast<double>(r) + 0.5) + 4, "tick", "end",
                      map_.row_names[r]);
    }
    for (size_t c = 0; c < map_.column_names.size(); c += stride(cell_width_, 36)) {
      out += svg_text(left_ + cell_width_ * (static_cast<double>(c) + 0.5), bottom_ + 15, "tick", "middle",
                      map_.column_names[c]);
    }
    if (!map_.x_label.empty()) { out += svg_text((left_ + right_) / 2, bottom_ + 35, "label", "middle", map_.x_label); }
    if (!map_.y_label.empty()) { out += svg_y_label((top_ + bottom_) / 2, map_.y_label); }
    return out;
  }

  const Heatmap& map_;
  int left_, top_;
  double low_ = 0, high_ = 1, cell_width_ = 0, cell_height_ = 0, bottom_ = 0, right_ = 0;
};

}  // namespace

std::string Heatmap::svg() const { return Drawing(*this).svg(); }

std::string color_bar_svg(double low, double high, const std::string& label) {
  constexpr int kSteps = 60, kWidth = 360, kHeight = 50, kLeft = 4, kRight = kWidth - 30, kBar = 12;
  constexpr double kStep = static_cast<double>(kRight - kLeft) / kSteps;
  std::string out = open_svg(kWidth, kHeight, label) + "<g shape-rendering=\"crispEdges\">";
  for (int i = 0; i < kSteps; ++i) {
    out += "<rect x=\"" + svg_number(kLeft + kStep * i) + "\" y=\"0\" width=\"" + svg_number(kStep + 0.3) +
           "\" height=\"" + svg_number(kBar) + "\" fill=\"" + color_of((i + 0.5) / kSteps) + "\"/>";
  }
  out += "</g>";
  const auto tick = [&](double x, const char* anchor, double value) {
    return svg_text(x, kBar + 14, "tick", anchor, tick_text(rounded(value)));
  };
  out += tick(kLeft, "start", low) + tick((kLeft + kRight) / 2.0, "middle", (low + high) / 2) +
         tick(kRight, "middle", high);
  return out + svg_text((kLeft + kRight) / 2.0, kHeight - 6, "label", "middle", label) + "</svg>";
}

}  // namespace terrace
