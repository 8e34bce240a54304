// A matrix as coloured cells, in SVG.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace terrace {

/// Values as coloured cells, row by row; NaN cells stay empty.
struct Heatmap {
  std::string title = {}, x_label = {}, y_label = {};
  int64_t rows = 0, columns = 0;
  std::vector<double> values = {};
  std::vector<std::string> row_names = {}, column_names = {};  // where given, as tick labels
  double low = 0, high = 0;                                    // equal: from the data
  bool print_values = false;                                   // in the cells
  int width = 440, height = 0;                                 // height 0: square cells
  std::string svg() const;
};

/// The key to pictures that share one range of colours (ColorMap::kSequential): a lying bar from `low` to `high` with
/// its ends and its middle as tick labels, and what the values are.
std::string color_bar_svg(double low, double high, const std::string& label);

}  // namespace terrace
