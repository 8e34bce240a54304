// Printing tensors the way numpy prints arrays.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tensor/tensor.h"

namespace terrace {
namespace {

constexpr int64_t kThreshold = 1000;  // more elements than this are summarised
constexpr int64_t kEdge = 3;          // to so many at each end of a dimension
constexpr size_t kLineWidth = 75;     // closing brackets included

/// The positions of a dimension that are printed; -1 stands for "...".
std::vector<int64_t> shown_positions(int64_t extent, bool summarise) {
  std::vector<int64_t> at;
  for (int64_t i = 0; i < extent; ++i) {
    if (!summarise || extent <= 2 * kEdge || i < kEdge || i >= extent - kEdge) {
      at.push_back(i);
    } else if (i == kEdge) {
      at.push_back(-1);
    }
  }
  return at;
}

void collect(const Tensor& t, bool summarise, std::vector<double>& out) {
  if (t.ndim() == 0) {
    out.push_back(t.item<double>());
    return;
  }
  for (int64_t i : shown_positions(t.dim(0), summarise)) {
    if (i >= 0) collect(t.select(0, i), summarise, out);
  }
}

/// One format for all elements: integers bare; floats aligned at the point, each with the digits that it needs, at most
/// 8; scientific where magnitudes span too much, as numpy decides.
class ElementFormat {
 public:
  ElementFormat(DType dtype, const std::vector<double>& values) : dtype_(dtype) {
    if (is_floating(dtype)) choose_float_form(values);
    for (double v : values) width_ = std::max(width_, text(v).size());
  }

  std::string padded(double v) const {
    const std::string s = text(v);
    return std::string(width_ - std::min(width_, s.size()), ' ') + s;
  }

 private:
  void choose_float_form(const std::vector<double>& values) {
    double low = INFINITY, high = 0;
    for (double v : values) {
      if (!std::isfinite(v) || v == 0) continue;
      low = std::min(low, std::fabs(v));
      high = std::max(high, std::fabs(v));
    }
    scientific_ = high > 0 && (high >= 1e8 || low < 1e-4 || high / low > 1000.0);
    const bool wide = dtype_ == DType::kF64;
    digits_ = 0;
    for (double v : values) {
      if (std::isfinite(v)) digits_ = std::max(digits_, fraction_digits(v, wide));
    }
  }

  /// Digits after the point (at most 8) that the shortest text of this value needs.
  int fraction_digits(double v, bool wide) const {
    char text[64];
    for (int digits = 0; digits < 8; ++digits) {
      std::snprintf(text, sizeof text, scientific_ ? "%.*e" : "%.*f", digits, v);
      const double back = std::strtod(text, nullptr);
      if (wide ? back == v : static_cast<float>(back) == static_cast<float>(v)) return digits;
    }
    return 8;
  }

  std::string text(double v) const {
    char buffer[64];
    if (dtype_ == DType::kBool) return v != 0 ? "True" : "False";
    if (!is_floating(dtype_)) {
      std::snprintf(buffer, sizeof buffer, "%lld", static_cast<long long>(v));
    } else if (std::isnan(v)) {
      return "nan";
    } else if (std::isinf(v)) {
      return v > 0 ? "inf" : "-inf";
    } else {
      std::snprintf(buffer, sizeof buffer, scientific_ ? "%#.*e" : "%#.*f", digits_, v);
      if (!scientific_) return blank_trailing_zeros(buffer);
    }
    return buffer;
  }

  static std::string blank_trailing_zeros(std::string text) {
    for (size_t i = text.size(); i-- > 0 && text[i] == '0';) text[i] = ' ';
    return text;
  }

  DType dtype_;
  bool scientific_ = false;
  int digits_ = 0;
  size_t width_ = 0;
};

void print_level(std::ostream& out, const Tensor& t, bool summarise, const ElementFormat& format, size_t indent) {
  if (t.ndim() == 0) {
    out << format.padded(t.item<double>());
    return;
  }
  out << '[';
  const size_t closing = indent + 1;  // brackets that may end the line
  size_t column = indent + 1;
  bool first = true;
  for (int64_t i : shown_positions(t.dim(0), summarise)) {
    if (t.ndim() > 1) {
      if (!first) out << std::string(static_cast<size_t>(t.ndim() - 1), '\n') << std::string(indent + 1, ' ');
      if (i < 0) {
        out << "...";
      } else {
        print_level(out, t.select(0, i), summarise, format, indent + 1);
      }
    } else {
      const std::string item = i < 0 ? "..." : format.padded(t.select(0, i).item<double>());
      if (!first && column + 1 + item.size() + closing > kLineWidth) {
        out << '\n' << std::string(indent + 1, ' ');
        column = indent + 1;
      } else if (!first) {
        out << ' ';
        ++column;
      }
      out << item;
      column += item.size();
    }
    first = false;
  }
  out << ']';
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Tensor& t) {
  if (!t.defined()) return out << "undefined tensor";
  const bool summarise = t.numel() > kThreshold;
  std::vector<double> values;
  collect(t, summarise, values);
  print_level(out, t, summarise, ElementFormat(t.dtype(), values), 0);
  return out;
}

}  // namespace terrace
