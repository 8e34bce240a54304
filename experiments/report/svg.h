// Pieces of the charts' SVG.
#pragma once

#include <string>

namespace terrace {

/// A coordinate, to a tenth of a pixel.
std::string svg_number(double v);

/// style: the CSS class; anchor: "start", "middle" or "end"; more: further attributes, with a leading blank.
std::string svg_text(double x, double y, const char* style, const char* anchor, const std::string& text,
                     const std::string& more = "");

std::string svg_line(double x1, double y1, double x2, double y2, const char* style);

/// The opening tag of a drawing, with the title for screen readers.
std::string open_svg(int width, int height, const std::string& title);

/// The label of a vertical axis, turned by 90 degrees about (13, middle).
std::string svg_y_label(double middle, const std::string& label);

/// A value beside an axis, in few characters: "0.5", "12k", "3e-05".
std::string tick_text(double v);

}  // namespace terrace
