// Charts as inline SVG. Colours come from the page's CSS variables, so that they follow light and dark.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace terrace {

enum class AxisScale : uint8_t { kLinear, kLog };
enum class LineDash : uint8_t { kSolid, kDashed, kDotted };

struct Series {
  std::string name;                         // "" keeps it out of the legend
  std::vector<double> x, y;                 // points that are not finite (or <= 0 on a log axis) break the line
  std::vector<double> low = {}, high = {};  // band around y where given
  int color = 0;
  LineDash dash = LineDash::kSolid;
};

struct LineChart {
  std::string title = {}, x_label = {}, y_label = {};
  AxisScale x_scale = AxisScale::kLinear, y_scale = AxisScale::kLinear;
  std::vector<Series> series = {};
  int width = 440, height = 290;
  bool y_from_zero = false;
  std::string svg() const;
};

/// Mean of several runs with a band of one standard deviation, over the x of the first run; runs are cut to the
/// shortest.
Series band_over(const std::string& name, const std::vector<double>& x, const std::vector<std::vector<double>>& runs,
                 int color);

/// A row per group: its values as dots, their mean as a bar with one standard deviation.
struct DotChart {
  std::string title = {}, x_label = {};
  struct Group {
    std::string name;
    std::vector<double> values;
    int color = 0;
  };
  std::vector<Group> groups = {};
  double reference = 0;  // a vertical line where has_reference
  bool has_reference = false;
  std::string reference_name = {};
  int width = 440;
  std::string svg() const;
};

/// The least of 1, 2, 2.5 and 5 times a power of ten that is `least` or more.
double round_step(double least);
/// About `count` round numbers in [low, high], three or more.
std::vector<double> ticks(double low, double high, int count);

}  // namespace terrace
