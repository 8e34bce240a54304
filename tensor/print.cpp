// Printing tensors the way numpy prints arrays.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

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

void collect(const Tensor& t, bool summarise, std::vector<Tensor>& elements) {
  if (t.ndim() == 0) {
    elements.push_back(t);
    return;
  }
  for (int64_t i : shown_positions(t.dim(0), summarise)) {
    if (i >= 0) { collect(t.select(0, i), summarise, elements); }
  }
}

enum class Notation { kFixed, kScientific };

/// "%#.*f" or "%#.*e": always with a point.
std::string decimal(double v, Notation notation, int digits) {
  char buffer[400];  // f64 reaches 1e308
  std::snprintf(buffer, sizeof buffer, notation == Notation::kScientific ? "%#.*e" : "%#.*f", digits, v);
  return buffer;
}

/// Digits after the point, at most `limit`, of the shortest text that reads back as the same element of `dtype`.
int fraction_digits(double v, DType dtype, Notation notation, int limit) {
  const auto rounded = [dtype](double x) {
    return dtype == DType::kF64    ? x
           : dtype == DType::kF16  ? static_cast<float>(Float16(static_cast<float>(x)))
           : dtype == DType::kBF16 ? static_cast<float>(BFloat16(static_cast<float>(x)))
                                   : static_cast<float>(x);
  };
  for (int digits = 0; digits < limit; ++digits) {
    if (rounded(std::strtod(decimal(v, notation, digits).c_str(), nullptr)) == v) { return digits; }
  }
  const std::string text = decimal(v, notation, limit);
  const size_t end = std::min(text.find('e'), text.size()), point = text.find('.');
  return static_cast<int>(text.find_last_not_of('0', end - 1) - point);
}

std::string not_a_number(double v) { return std::isnan(v) ? "nan" : v > 0 ? "inf" : "-inf"; }

/// Integers in full, whatever their size; booleans.
std::string exact_text(const Tensor& element) {
  if (element.dtype() == DType::kBool) { return element.item<bool>() ? "True" : "False"; }
  return std::to_string(element.item<int64_t>());
}

/// A tensor without dimensions: as many digits as tell it from its neighbours, scientific below 1e-4 and from where the
/// type no longer holds all digits.
std::string scalar_text(const Tensor& t) {
  if (!is_floating(t.dtype())) { return exact_text(t); }
  const double v = t.item<double>(), magnitude = std::fabs(v);
  if (!std::isfinite(v)) { return not_a_number(v); }
  constexpr int kMaxFraction = 24;  // 17 digits of an f64, and the zeros before them in 0.0001
  const double limit = t.dtype() == DType::kF64 ? 1e16 : t.dtype() == DType::kF16 ? 1e3 : 1e6;
  if (v == 0 || (magnitude >= 1e-4 && magnitude < limit)) {
    return decimal(v, Notation::kFixed, std::max(1, fraction_digits(v, t.dtype(), Notation::kFixed, kMaxFraction)));
  }
  std::string text =
      decimal(v, Notation::kScientific, fraction_digits(v, t.dtype(), Notation::kScientific, kMaxFraction));
  if (const size_t bare = text.find(".e"); bare != std::string::npos) { text.erase(bare, 1); }
  return text;
}

/// One format for all elements: integers bare; floats aligned at the point, each with the digits that it needs, at most
/// 8; scientific where magnitudes span too much, as numpy decides, all exponents as wide as the widest.
class ElementFormat {
 public:
  ElementFormat(DType dtype, const std::vector<Tensor>& elements) : dtype_(dtype) {
    if (is_floating(dtype)) { choose_float_form(elements); }
    for (const Tensor& element : elements) { width_ = std::max(width_, text(element).size()); }
  }

  std::string padded(const Tensor& element) const {
    const std::string s = text(element);
    return std::string(width_ - std::min(width_, s.size()), ' ') + s;
  }

 private:
  static constexpr int kMaxDigits = 8;

  void choose_float_form(const std::vector<Tensor>& elements) {
    std::vector<double> finite;
    double low = INFINITY, high = 0;
    for (const Tensor& element : elements) {
      const double v = element.item<double>();
      if (!std::isfinite(v)) { continue; }
      finite.push_back(v);
      if (v != 0) { low = std::min(low, std::fabs(v)); }
      high = std::max(high, std::fabs(v));
    }
    if (high > 0 && (high >= 1e8 || low < 1e-4 || high / low > 1000.0)) { notation_ = Notation::kScientific; }
    for (double v : finite) { digits_ = std::max(digits_, fraction_digits(v, dtype_, notation_, kMaxDigits)); }
    if (notation_ == Notation::kFixed) { return; }
    for (double v : finite) {
      const std::string text = decimal(v, notation_, digits_);
      exponent_digits_ = std::max(exponent_digits_, text.size() - exponent_at(text));
    }
  }

  static size_t exponent_at(const std::string& text) { return text.find('e') + 2; }  // behind e and its sign

  std::string text(const Tensor& element) const {
    if (!is_floating(dtype_)) { return exact_text(element); }
    const double v = element.item<double>();
    if (!std::isfinite(v)) { return not_a_number(v); }
    std::string text = decimal(v, notation_, digits_);
    if (notation_ == Notation::kScientific) {
      const size_t at = exponent_at(text);
      text.insert(at, exponent_digits_ - (text.size() - at), '0');
    } else {
      for (size_t i = text.size(); i-- > 0 && text[i] == '0';) { text[i] = ' '; }
    }
    return text;
  }

  DType dtype_;
  Notation notation_ = Notation::kFixed;
  int digits_ = 0;
  size_t exponent_digits_ = 0;
  size_t width_ = 0;
};

void print_level(std::ostream& out, const Tensor& t, bool summarise, const ElementFormat& format, size_t indent) {
  out << '[';
  const size_t closing = indent + 1;  // brackets that may end the line
  size_t column = indent + 1;
  bool first = true;
  for (int64_t i : shown_positions(t.dim(0), summarise)) {
    if (t.ndim() > 1) {
      if (!first) { out << std::string(static_cast<size_t>(t.ndim() - 1), '\n') << std::string(indent + 1, ' '); }
      if (i < 0) {
        out << "...";
      } else {
        print_level(out, t.select(0, i), summarise, format, indent + 1);
      }
    } else {
      const std::string item = i < 0 ? "..." : format.padded(t.select(0, i));
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
  if (!t.defined()) { return out << "undefined tensor"; }
  if (t.numel() == 0) { return out << "[]"; }
  if (t.ndim() == 0) { return out << scalar_text(t); }
  const bool summarise = t.numel() > kThreshold;
  std::vector<Tensor> elements;
  collect(t, summarise, elements);
  print_level(out, t, summarise, ElementFormat(t.dtype(), elements), 0);
  return out;
}

}  // namespace terrace
