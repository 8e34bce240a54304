#include "experiments/report/chart.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "experiments/report/html.h"
#include "experiments/report/image_grid.h"
#include "experiments/report/statistics.h"
#include "experiments/report/svg.h"
#include "tensor/base/mean_deviation.h"

namespace terrace {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr size_t kMinTicks = 3;
constexpr double kCharacter = 6.4;  // width of a tick character in pixels, about

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
      if (values.size() >= kMinTicks) { break; }
    }
    // Less than a third of a decade: as on a linear axis.
    if (values.size() < kMinTicks) { return ticks(std::pow(10.0, low), std::pow(10.0, high), count); }
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
    path += (pen ? "L" : "M") + svg_number(x.pixel(xs[i])) + " " + svg_number(y.pixel(ys[i]));
    pen = true;
  }
  return path;
}

std::string band_of(const Series& s, const Axis& x, const Axis& y) {
  std::string upper, lower;
  for (size_t i = 0; i < s.x.size() && i < s.low.size() && i < s.high.size(); ++i) {
    if (!x.shows(s.x[i]) || !y.shows(s.high[i])) { continue; }
    const double low = y.shows(s.low[i]) ? y.pixel(s.low[i]) : y.from;
    upper += (upper.empty() ? "M" : "L") + svg_number(x.pixel(s.x[i])) + " " + svg_number(y.pixel(s.high[i]));
    lower = "L" + svg_number(x.pixel(s.x[i])) + " " + svg_number(std::min(low, y.from)) + lower;
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
    place.markup += "<path d=\"M" + svg_number(x) + " " + svg_number(y - 4) +
                    "h22\" style=\"stroke:" + palette_color(s.color) + ";stroke-width:2.4;fill:none\"" +
                    dash_of(s.dash) + "/>" + svg_text(x + 28, y, "label", "start", s.name);
    x += extent;
  }
  if (!place.markup.empty()) { place.height = static_cast<int>(y - top) + 12; }
  return place;
}

}  // namespace

double round_step(double least) {
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double m : {1.0, 2.0, 2.5, 5.0}) {
    if (m * power >= least * 0.999) { return m * power; }
  }
  return 10 * power;
}

std::vector<double> ticks(double low, double high, int count) {
  if (!(high > low) || count < 1) { return {low}; }
  std::vector<double> values;
  // Wider steps than about (high - low) / count, unless too few of their multiples lie between the ends.
  for (double raw = (high - low) / count; values.size() < kMinTicks; raw *= 0.5) {
    const double step = round_step(raw);
    values.clear();
    const auto first = static_cast<int64_t>(std::ceil(low / step - 1e-9));
    for (int64_t i = first; static_cast<double>(i) * step <= high + step * 1e-9; ++i) {
      values.push_back(static_cast<double>(i) * step);
    }
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
    std::vector<double> at_x;
    for (const auto& run : runs) { at_x.push_back(run[i]); }
    const double mean = mean_of(at_x), sd = deviation_of(at_x, mean, 1);
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
  if (!title.empty()) { out += svg_text(4, 16, "title", "start", title); }
  out += legend.markup;
  for (const double v : y_ticks) {
    out += svg_line(x.from, y.pixel(v), x.to, y.pixel(v), "grid");
    out += svg_text(x.from - 7, y.pixel(v) + 4, "tick", "end", tick_text(v));
  }
  for (const double v : x.tick_values(6)) {
    out += svg_line(x.pixel(v), bottom, x.pixel(v), bottom + 4, "axis");
    out += svg_text(x.pixel(v), bottom + 17, "tick", "middle", tick_text(v));
  }
  out += svg_line(x.from, bottom, x.to, bottom, "axis");
  if (!x_label.empty()) { out += svg_text((x.from + x.to) / 2, height - 8, "label", "middle", x_label); }
  if (!y_label.empty()) { out += svg_y_label((top + bottom) / 2, y_label); }
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
      out += "<circle cx=\"" + svg_number(x.pixel(s.x[i])) + "\" cy=\"" + svg_number(y.pixel(s.y[i])) +
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
  if (!title.empty()) { out += svg_text(4, 16, "title", "start", title); }
  for (const double v : x.tick_values(5)) {
    out += svg_line(x.pixel(v), top, x.pixel(v), bottom, "grid");
    out += svg_text(x.pixel(v), bottom + 17, "tick", "middle", tick_text(v));
  }
  out += svg_line(x.from, bottom, x.to, bottom, "axis");
  out += svg_text((x.from + x.to) / 2, bottom + 36, "label", "middle", x_label);
  if (has_reference) {
    out += "<line x1=\"" + svg_number(x.pixel(reference)) + "\" x2=\"" + svg_number(x.pixel(reference)) + "\" y1=\"" +
           svg_number(top) + "\" y2=\"" + svg_number(bottom) + "\" class=\"axis\" stroke-dasharray=\"5 4\"/>";
    out += "<line x1=\"4\" x2=\"28\" y1=\"" + svg_number(bottom + 50) + "\" y2=\"" + svg_number(bottom + 50) +
           "\" class=\"axis\" stroke-dasharray=\"5 4\"/>" + svg_text(34, bottom + 54, "label", "start", reference_name);
  }
  for (size_t g = 0; g < groups.size(); ++g) {
    const Group& group = groups[g];
    const double middle = top + kRow * (static_cast<double>(g) + 0.5);
    out += svg_text(x.from - 10, middle + 4, "label", "end", group.name);
    const size_t count = group.values.size();
    const double mean = mean_of(group.values), sd = deviation_of(group.values, mean, 1);
    const std::string color = palette_color(group.color);
    if (count > 1) {
      out += "<line x1=\"" + svg_number(x.pixel(mean - sd)) + "\" x2=\"" + svg_number(x.pixel(mean + sd)) + "\" y1=\"" +
             svg_number(middle) + "\" y2=\"" + svg_number(middle) + "\" style=\"stroke:" + color +
             ";stroke-width:2\"/>";
    }
    if (count > 0) {
      out += "<line x1=\"" + svg_number(x.pixel(mean)) + "\" x2=\"" + svg_number(x.pixel(mean)) + "\" y1=\"" +
             svg_number(middle - 9) + "\" y2=\"" + svg_number(middle + 9) + "\" style=\"stroke:" + color +
             ";stroke-width:3\"/>";
    }
    for (const double v : group.values) {
      out += "<circle cx=\"" + svg_number(x.pixel(v)) + "\" cy=\"" + svg_number(middle) +
             "\" r=\"4.5\" style=\"fill:" + color + ";opacity:.55\"><title>" +
             escape_html(group.name + ": " + tick_text(v)) + "</title></circle>";
    }
  }
  return out + "</svg>";
}

}  // namespace terrace
