#include "experiments/report/chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "experiments/report/html.h"
#include "experiments/report/image_grid.h"
#include "experiments/report/statistics.h"

namespace terrace {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kCharacter = 6.4;  // width of a tick character in pixels, about

std::string number(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", v);
  return text;
}

std::string tick_text(double v) {
  char text[32];
  const double size = std::fabs(v);
  if (size >= 1e6 || (size > 0 && size < 1e-3)) {
    std::snprintf(text, sizeof text, "%.0e", v);
  } else if (size >= 1e4) {
    std::snprintf(text, sizeof text, "%gk", v / 1e3);
  } else {
    std::snprintf(text, sizeof text, "%g", std::fabs(v) < 1e-12 ? 0.0 : v);
  }
  return text;
}

/// To three significant digits, for the ends of colour bars.
double rounded(double v) {
  if (v == 0 || !std::isfinite(v)) { return v; }
  const double unit = std::pow(10.0, std::floor(std::log10(std::fabs(v))) - 2);
  return std::round(v / unit) * unit;
}

std::string text_at(double x, double y, const char* style, const char* anchor, const std::string& text,
                    const std::string& more = "") {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" class=\"" + style + "\" text-anchor=\"" + anchor +
         "\"" + more + ">" + escape_html(text) + "</text>";
}

std::string line_at(double x1, double y1, double x2, double y2, const char* style) {
  return "<line x1=\"" + number(x1) + "\" y1=\"" + number(y1) + "\" x2=\"" + number(x2) + "\" y2=\"" + number(y2) +
         "\" class=\"" + style + "\"/>";
}

std::string open_svg(int width, int height, const std::string& title) {
  return "<svg viewBox=\"0 0 " + std::to_string(width) + " " + std::to_string(height) + "\" width=\"" +
         std::to_string(width) + "\" role=\"img\" aria-label=\"" + escape_html(title.empty() ? "chart" : title) + "\">";
}

/// Maps data to pixels along one axis.
struct Axis {
  AxisScale scale = AxisScale::kLinear;
  double low = kInfinity, high = -kInfinity, from = 0, to = 1;

  bool shows(double v) const { return std::isfinite(v) && (scale == AxisScale::kLinear || v > 0); }
  double forward(double v) const { return scale == AxisScale::kLog ? std::log10(v) : v; }
  void include(double v) {
    if (!shows(v)) { return; }
    low = std::min(low, forward(v));
    high = std::max(high, forward(v));
  }
  void settle(double margin) {
    if (!(low <= high)) { low = 0, high = 1; }
    if (low == high) {
      const double half = low == 0 ? 1 : std::fabs(low) * 0.1;
      low -= half;
      high += half;
      return;
    }
    const double extra = (high - low) * margin;
    low -= extra;
    high += extra;
  }
  double pixel(double v) const { return from + (forward(v) - low) / (high - low) * (to - from); }

  std::vector<double> tick_values(int count) const {
    if (scale == AxisScale::kLinear) { return ticks(low, high, count); }
    std::vector<double> values;
    for (const std::vector<double>& steps : {std::vector<double>{1}, {1, 3}, {1, 2, 5}, {1, 1.5, 2, 3, 5, 7}}) {
      values.clear();
      for (int e = static_cast<int>(std::floor(low)); e <= static_cast<int>(std::ceil(high)); ++e) {
        for (const double m : steps) {
          const double v = m * std::pow(10.0, e);
          if (std::log10(v) >= low - 1e-9 && std::log10(v) <= high + 1e-9) { values.push_back(v); }
        }
      }
      if (values.size() >= 3) { break; }
    }
    while (static_cast<int>(values.size()) > 2 * count) {
      std::vector<double> fewer;
      for (size_t i = 0; i < values.size(); i += 2) { fewer.push_back(values[i]); }
      values = fewer;
    }
    return values;
  }
};

const char* dash_of(LineDash dash) {
  return dash == LineDash::kDashed   ? " stroke-dasharray=\"6 4\""
         : dash == LineDash::kDotted ? " stroke-dasharray=\"1.5 3.5\""
                                     : "";
}

/// Polylines of the points both axes can show; a gap where they cannot.
std::string path_of(const std::vector<double>& xs, const std::vector<double>& ys, const Axis& x, const Axis& y) {
  std::string path;
  bool pen = false;
  for (size_t i = 0; i < xs.size() && i < ys.size(); ++i) {
    if (!x.shows(xs[i]) || !y.shows(ys[i])) {
      pen = false;
      continue;
    }
    path += (pen ? "L" : "M") + number(x.pixel(xs[i])) + " " + number(y.pixel(ys[i]));
    pen = true;
  }
  return path;
}

std::string band_of(const Series& s, const Axis& x, const Axis& y) {
  std::string upper, lower;
  for (size_t i = 0; i < s.x.size() && i < s.low.size() && i < s.high.size(); ++i) {
    if (!x.shows(s.x[i]) || !y.shows(s.high[i])) { continue; }
    const double low = y.shows(s.low[i]) ? y.pixel(s.low[i]) : y.from;
    upper += (upper.empty() ? "M" : "L") + number(x.pixel(s.x[i])) + " " + number(y.pixel(s.high[i]));
    lower = "L" + number(x.pixel(s.x[i])) + " " + number(std::min(low, y.from)) + lower;
  }
  if (upper.empty()) { return ""; }
  return "<path d=\"" + upper + lower + "Z\" style=\"fill:" + palette_color(s.color) + ";opacity:.16;stroke:none\"/>";
}

struct LegendPlace {
  std::string markup;
  int height = 0;
};

/// Names with a piece of their line, wrapped to the width.
LegendPlace legend_of(const std::vector<Series>& series, double left, double top, int width) {
  LegendPlace place;
  double x = left, y = top + 10;
  for (const Series& s : series) {
    if (s.name.empty()) { continue; }
    // Characters, not bytes: continuation bytes of UTF-8 have no width.
    const auto letters = std::count_if(s.name.begin(), s.name.end(), [](char c) { return (c & 0xC0) != 0x80; });
    const double extent = 34 + kCharacter * static_cast<double>(letters) + 10;
    if (x > left && x + extent > width) { x = left, y += 18; }
    place.markup += "<path d=\"M" + number(x) + " " + number(y - 4) + "h22\" style=\"stroke:" + palette_color(s.color) +
                    ";stroke-width:2.4;fill:none\"" + dash_of(s.dash) + "/>" +
                    text_at(x + 28, y, "label", "start", s.name);
    x += extent;
  }
  if (!place.markup.empty()) { place.height = static_cast<int>(y - top) + 12; }
  return place;
}

}  // namespace

std::vector<double> ticks(double low, double high, int count) {
  if (!(high > low) || count < 1) { return {low}; }
  const double raw = (high - low) / count, power = std::pow(10.0, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (const double m : {1.0, 2.0, 2.5, 5.0}) {
    if (m * power >= raw * 0.999) {
      step = m * power;
      break;
    }
  }
  std::vector<double> values;
  const auto first = static_cast<int64_t>(std::ceil(low / step - 1e-9));
  for (int64_t i = first; static_cast<double>(i) * step <= high + step * 1e-9; ++i) {
    values.push_back(static_cast<double>(i) * step);
  }
  return values;
}

Series band_over(const std::string& name, const std::vector<double>& x, const std::vector<std::vector<double>>& runs,
                 int color) {
  Series series{.name = name, .x = {}, .y = {}, .low = {}, .high = {}, .color = color};
  size_t length = x.size();
  for (const auto& run : runs) { length = std::min(length, run.size()); }
  if (runs.empty()) { length = 0; }
  for (size_t i = 0; i < length; ++i) {
    double mean = 0, squares = 0;
    for (const auto& run : runs) { mean += run[i] / static_cast<double>(runs.size()); }
    for (const auto& run : runs) { squares += (run[i] - mean) * (run[i] - mean); }
    const double sd = runs.size() > 1 ? std::sqrt(squares / static_cast<double>(runs.size() - 1)) : 0;
    series.x.push_back(x[i]);
    series.y.push_back(mean);
    if (runs.size() > 1) {
      series.low.push_back(mean - sd);
      series.high.push_back(mean + sd);
    }
  }
  return series;
}

std::string LineChart::svg() const {
  Axis x{.scale = x_scale}, y{.scale = y_scale};
  for (const Series& s : series) {
    for (const double v : s.x) { x.include(v); }
    for (size_t i = 0; i < s.y.size(); ++i) {
      y.include(s.y[i]);
      if (i < s.low.size()) { y.include(s.low[i]); }
      if (i < s.high.size()) { y.include(s.high[i]); }
    }
  }
  if (y_from_zero && y_scale == AxisScale::kLinear) { y.include(0); }
  x.settle(0);
  y.settle(0.04);
  if (y_from_zero && y_scale == AxisScale::kLinear && y.low < 0) { y.low = 0; }

  const int top_title = title.empty() ? 6 : 24;
  const LegendPlace legend = legend_of(series, 4, top_title + 2, width);
  const double top = top_title + legend.height + 8, bottom = height - (x_label.empty() ? 24 : 44);
  y.from = bottom;
  y.to = top;
  const std::vector<double> y_ticks = y.tick_values(5);
  size_t widest = 1;
  for (const double v : y_ticks) { widest = std::max(widest, tick_text(v).size()); }
  x.from = (y_label.empty() ? 8 : 24) + 8 + kCharacter * static_cast<double>(widest);
  x.to = width - 14;

  std::string out = open_svg(width, height, title);
  if (!title.empty()) { out += text_at(4, 16, "title", "start", title); }
  out += legend.markup;
  for (const double v : y_ticks) {
    out += line_at(x.from, y.pixel(v), x.to, y.pixel(v), "grid");
    out += text_at(x.from - 7, y.pixel(v) + 4, "tick", "end", tick_text(v));
  }
  for (const double v : x.tick_values(6)) {
    out += line_at(x.pixel(v), bottom, x.pixel(v), bottom + 4, "axis");
    out += text_at(x.pixel(v), bottom + 17, "tick", "middle", tick_text(v));
  }
  out += line_at(x.from, bottom, x.to, bottom, "axis");
  if (!x_label.empty()) { out += text_at((x.from + x.to) / 2, height - 8, "label", "middle", x_label); }
  if (!y_label.empty()) {
    const double middle = (top + bottom) / 2;
    out += text_at(13, middle, "label", "middle", y_label, " transform=\"rotate(-90 13 " + number(middle) + ")\"");
  }
  for (const Series& s : series) { out += band_of(s, x, y); }
  for (const Series& s : series) {
    const std::string style = "style=\"stroke:" + palette_color(s.color) + ";fill:none;stroke-width:1.8\"";
    out += "<path d=\"" + path_of(s.x, s.y, x, y) + "\" " + style + dash_of(s.dash) + " stroke-linejoin=\"round\">" +
           (s.name.empty() ? "" : "<title>" + escape_html(s.name) + "</title>") + "</path>";
    if (s.x.size() > 14) {
      continue;  // few points are shown as such
    }
    for (size_t i = 0; i < s.x.size() && i < s.y.size(); ++i) {
      if (!x.shows(s.x[i]) || !y.shows(s.y[i])) { continue; }
      out += "<circle cx=\"" + number(x.pixel(s.x[i])) + "\" cy=\"" + number(y.pixel(s.y[i])) +
             "\" r=\"3\" style=\"fill:" + palette_color(s.color) + "\"><title>" +
             escape_html(s.name + ": " + tick_text(s.x[i]) + ", " + tick_text(s.y[i])) + "</title></circle>";
    }
  }
  return out + "</svg>";
}

std::string DotChart::svg() const {
  constexpr int kRow = 34;
  const int top = title.empty() ? 8 : 30;
  const int bottom = top + kRow * static_cast<int>(groups.size());
  const int height = bottom + 46 + (has_reference ? 18 : 0);
  Axis x;
  size_t longest = 4;
  for (const Group& group : groups) {
    longest = std::max(longest, group.name.size());
    for (const double v : group.values) { x.include(v); }
    const Spread spread = spread_of(group.values);  // the bar around the mean reaches beyond the values
    x.include(spread.mean - spread.sd);
    x.include(spread.mean + spread.sd);
  }
  if (has_reference) { x.include(reference); }
  x.settle(0.08);
  x.from = 18 + (kCharacter + 0.8) * static_cast<double>(longest);
  x.to = width - 18;

  std::string out = open_svg(width, height, title);
  if (!title.empty()) { out += text_at(4, 16, "title", "start", title); }
  for (const double v : x.tick_values(5)) {
    out += line_at(x.pixel(v), top, x.pixel(v), bottom, "grid");
    out += text_at(x.pixel(v), bottom + 17, "tick", "middle", tick_text(v));
  }
  out += line_at(x.from, bottom, x.to, bottom, "axis");
  out += text_at((x.from + x.to) / 2, bottom + 36, "label", "middle", x_label);
  if (has_reference) {
    out += "<line x1=\"" + number(x.pixel(reference)) + "\" x2=\"" + number(x.pixel(reference)) + "\" y1=\"" +
           number(top) + "\" y2=\"" + number(bottom) + "\" class=\"axis\" stroke-dasharray=\"5 4\"/>";
    out += "<line x1=\"4\" x2=\"28\" y1=\"" + number(bottom + 50) + "\" y2=\"" + number(bottom + 50) +
           "\" class=\"axis\" stroke-dasharray=\"5 4\"/>" + text_at(34, bottom + 54, "label", "start", reference_name);
  }
  for (size_t g = 0; g < groups.size(); ++g) {
    const Group& group = groups[g];
    const double middle = top + kRow * (static_cast<double>(g) + 0.5);
    out += text_at(x.from - 10, middle + 4, "label", "end", group.name);
    double mean = 0, squares = 0;
    const auto count = static_cast<double>(group.values.size());
    for (const double v : group.values) { mean += v / count; }
    for (const double v : group.values) { squares += (v - mean) * (v - mean); }
    const double sd = count > 1 ? std::sqrt(squares / (count - 1)) : 0;
    const std::string color = palette_color(group.color);
    if (count > 1) {
      out += "<line x1=\"" + number(x.pixel(mean - sd)) + "\" x2=\"" + number(x.pixel(mean + sd)) + "\" y1=\"" +
             number(middle) + "\" y2=\"" + number(middle) + "\" style=\"stroke:" + color + ";stroke-width:2\"/>";
    }
    if (count > 0) {
      out += "<line x1=\"" + number(x.pixel(mean)) + "\" x2=\"" + number(x.pixel(mean)) + "\" y1=\"" +
             number(middle - 9) + "\" y2=\"" + number(middle + 9) + "\" style=\"stroke:" + color +
             ";stroke-width:3\"/>";
    }
    for (const double v : group.values) {
      out += "<circle cx=\"" + number(x.pixel(v)) + "\" cy=\"" + number(middle) + "\" r=\"4.5\" style=\"fill:" + color +
             ";opacity:.55\"><title>" + escape_html(group.name + ": " + tick_text(v)) + "</title></circle>";
    }
  }
  return out + "</svg>";
}

std::string Heatmap::svg() const {
  double least = low, most = high;
  if (least == most) {
    least = kInfinity;
    most = -kInfinity;
    for (const double v : values) {
      if (std::isfinite(v)) { least = std::min(least, v), most = std::max(most, v); }
    }
    if (!(least < most)) { most = least + 1; }
  }
  const int left = (y_label.empty() ? 8 : 26) + (row_names.empty() ? 0 : 44), top = title.empty() ? 6 : 28;
  const double cell_width = static_cast<double>(width - left - 74) / static_cast<double>(std::max<int64_t>(columns, 1));
  const double cell_height =
      height > 0 ? static_cast<double>(height - top - 44) / static_cast<double>(std::max<int64_t>(rows, 1))
                 : cell_width;
  const double bottom = top + cell_height * static_cast<double>(rows),
               right = left + cell_width * static_cast<double>(columns);
  std::string out = open_svg(width, static_cast<int>(bottom) + 44, title);
  if (!title.empty()) { out += text_at(4, 16, "title", "start", title); }
  char color[16];
  const auto fill = [&](double share) {
    const Rgb rgb = map_color(ColorMap::kSequential, share);
    std::snprintf(color, sizeof color, "#%02x%02x%02x", rgb.r, rgb.g, rgb.b);
    return std::string(color);
  };
  out += "<g shape-rendering=\"crispEdges\">";
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const double v = values[static_cast<size_t>(r * columns + c)];
      if (!std::isfinite(v)) { continue; }
      out += "<rect x=\"" + number(left + cell_width * static_cast<double>(c)) + "\" y=\"" +
             number(top + cell_height * static_cast<double>(r)) + "\" width=\"" + number(cell_width + 0.3) +
             "\" height=\"" + number(cell_height + 0.3) + "\" fill=\"" + fill((v - least) / (most - least)) + "\"/>";
    }
  }
  for (int i = 0; i < 40; ++i) {  // the colour bar
    out += "<rect x=\"" + number(right + 12) + "\" y=\"" + number(top + (bottom - top) * (39 - i) / 40) +
           "\" width=\"11\" height=\"" + number((bottom - top) / 40 + 0.4) + "\" fill=\"" + fill((i + 0.5) / 40) +
           "\"/>";
  }
  out += "</g>";
  if (print_values) {
    for (size_t i = 0; i < values.size() && columns > 0; ++i) {
      if (!std::isfinite(values[i])) { continue; }
      const double share = (values[i] - least) / (most - least);
      char text[24];
      std::snprintf(text, sizeof text, "%.2g", values[i]);
      out += text_at(left + cell_width * (static_cast<double>(static_cast<int64_t>(i) % columns) + 0.5),
                     top + cell_height * (static_cast<double>(static_cast<int64_t>(i) / columns) + 0.5) + 4, "tick",
                     "middle", text, share > 0.55 ? " style=\"fill:#111\"" : " style=\"fill:#fff\"");
    }
  }
  out += text_at(right + 28, bottom, "tick", "start", tick_text(rounded(least))) +
         text_at(right + 28, top + 9, "tick", "start", tick_text(rounded(most)));
  const auto stride = [](double cell, double needed) {
    return std::max<size_t>(1, static_cast<size_t>(std::ceil(needed / std::max(cell, 0.1))));
  };
  for (size_t r = 0; r < row_names.size(); r += stride(cell_height, 13)) {
    out += text_at(left - 7, top + cell_height * (static_cast<double>(r) + 0.5) + 4, "tick", "end", row_names[r]);
  }
  for (size_t c = 0; c < column_names.size(); c += stride(cell_width, 36)) {
    out += text_at(left + cell_width * (static_cast<double>(c) + 0.5), bottom + 15, "tick", "middle", column_names[c]);
  }
  if (!x_label.empty()) { out += text_at((left + right) / 2, bottom + 35, "label", "middle", x_label); }
  if (!y_label.empty()) {
    const double middle = (top + bottom) / 2;
    out += text_at(13, middle, "label", "middle", y_label, " transform=\"rotate(-90 13 " + number(middle) + ")\"");
  }
  return out + "</svg>";
}

}  // namespace terrace
