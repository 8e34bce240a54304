#include "experiments/report/svg.h"

#include <cmath>
#include <cstdio>

#include "experiments/report/html.h"

namespace terrace {

std::string svg_number(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", v);
  return text;
}

std::string svg_text(double x, double y, const char* style, const char* anchor, const std::string& text,
                     const std::string& more) {
  return "<text x=\"" + svg_number(x) + "\" y=\"" + svg_number(y) + "\" class=\"" + style + "\" text-anchor=\"" +
         anchor + "\"" + more + ">" + escape_html(text) + "</text>";
}

std::string svg_line(double x1, double y1, double x2, double y2, const char* style) {
  return "<line x1=\"" + svg_number(x1) + "\" y1=\"" + svg_number(y1) + "\" x2=\"" + svg_number(x2) + "\" y2=\"" +
         svg_number(y2) + "\" class=\"" + style + "\"/>";
}

std::string open_svg(int width, int height, const std::string& title) {
  return "<svg viewBox=\"0 0 " + std::to_string(width) + " " + std::to_string(height) + "\" width=\"" +
         std::to_string(width) + "\" role=\"img\" aria-label=\"" + escape_html(title.empty() ? "chart" : title) + "\">";
}

std::string svg_y_label(double middle, const std::string& label) {
  return svg_text(13, middle, "label", "middle", label, " transform=\"rotate(-90 13 " + svg_number(middle) + ")\"");
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

}  // namespace terrace
