// One option: text and JSON to its target, and back.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include "data/files/json.h"
#include "experiments/cli/memory_bounds.h"
#include "experiments/cli/options.h"
#include "experiments/cli/quoted.h"
#include "tensor/base/error.h"
#include "tensor/base/names.h"

namespace terrace {
namespace {

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

/// Of a whole number without a range of its own: sums and products of a few stay below 2^63.
constexpr double kMostOfAnything = 1e15;

template <class T>
const char* noun_of() {
  if constexpr (std::is_same_v<T, bool>) { return "true or false"; }
  if constexpr (std::is_unsigned_v<T>) { return "a whole number from 0"; }
  if constexpr (std::is_integral_v<T>) { return "a whole number"; }
  if constexpr (std::is_floating_point_v<T>) { return "a number"; }
  return "text";
}

template <class T>
[[noreturn]] void refuse(const std::string& where, const std::string& got) {
  throw ConfigError(cat(where, " must be ", noun_of<T>(), ", got ", got));
}

template <class T>
[[noreturn]] void refuse_beyond(const std::string& where, const std::string& got) {
  if constexpr (std::is_floating_point_v<T>) {
    throw ConfigError(cat(where, " must be a number of magnitude 1e-307 to 1e307, or 0, got ", got));
  }
  throw ConfigError(cat(where, " must be a whole number from ", std::numeric_limits<T>::min(), " to ",
                        std::numeric_limits<T>::max(), ", got ", got));
}

/// The whole number that a floating-point one is, as 1e6 is; below 9e15, up to which a double holds each.
template <class T>
std::optional<T> whole(double wide) {
  if (wide != std::floor(wide) || !(std::fabs(wide) < 9e15)) { return std::nullopt; }
  const auto value = static_cast<int64_t>(wide);
  return std::in_range<T>(value) ? std::optional<T>(static_cast<T>(value)) : std::nullopt;
}

template <class T>
T number_from_text(const std::string& text, const std::string& where) {
  T value{};
  const char* begin = text.data();
  const char* end = begin + text.size();
  if (text.size() > 1 && *begin == '+') { ++begin; }
  const auto [rest, error] = std::from_chars(begin, end, value);
  if (error == std::errc::result_out_of_range && rest == end) { refuse_beyond<T>(where, quoted(text)); }
  if (error != std::errc() || rest != end || text.empty()) {
    if constexpr (std::is_integral_v<T>) {
      double wide = 0;
      const auto [stop, failure] = std::from_chars(begin, end, wide);
      if (failure == std::errc() && stop == end) {
        if (const std::optional<T> number = whole<T>(wide)) { return *number; }
        if (std::isfinite(wide) && wide == std::floor(wide) && (wide >= 0 || std::is_signed_v<T>)) {
          refuse_beyond<T>(where, quoted(text));
        }
      }
    }
    refuse<T>(where, quoted(text));
  }
  return value;
}

template <class T>
T from_text(const std::string& text, const std::string& where) {
  if constexpr (std::is_same_v<T, bool>) {
    if (text == "true" || text == "1" || text == "on") { return true; }
    if (text == "false" || text == "0" || text == "off") { return false; }
    refuse<T>(where, quoted(text));
  } else if constexpr (std::is_same_v<T, std::string>) {
    check_text(text, where);
    return text;
  } else if constexpr (IsVector<T>::value) {
    T values;
    size_t begin = 0;
    while (!text.empty() && begin <= text.size()) {
      const size_t comma = std::min(text.find(',', begin), text.size());
      values.push_back(from_text<typename T::value_type>(text.substr(begin, comma - begin), where));
      begin = comma + 1;
    }
    return values;
  } else {
    return number_from_text<T>(text, where);
  }
}

template <class T>
T from_json(const Json& value, const std::string& where) {
  if constexpr (IsVector<T>::value) {
    if (!value.is_array()) { throw ConfigError(cat(where, " must be an array, got ", excerpt(json_text(value)))); }
    T values;
    for (const Json& item : value) { values.push_back(from_json<typename T::value_type>(item, where)); }
    return values;
  } else {
    if constexpr (std::is_same_v<T, bool>) {
      if (value.is_boolean()) { return value.get<bool>(); }
    } else if constexpr (std::is_same_v<T, std::string>) {
      if (value.is_string()) {
        check_text(value.get_ref<const std::string&>(), where);
        return value.get<std::string>();
      }
    } else if constexpr (std::is_integral_v<T>) {
      const bool is_large = value.is_number_unsigned() && !std::in_range<T>(value.get<uint64_t>());
      const bool is_small = value.is_number_integer() && !value.is_number_unsigned() &&
                            !std::in_range<T>(value.get<int64_t>()) && std::is_signed_v<T>;
      if (is_large || is_small) { refuse_beyond<T>(where, excerpt(json_text(value))); }
      if (value.is_number_unsigned()) { return static_cast<T>(value.get<uint64_t>()); }
      if (value.is_number_integer() && value.get<int64_t>() >= 0) { return static_cast<T>(value.get<int64_t>()); }
      if (value.is_number_integer() && std::is_signed_v<T>) { return static_cast<T>(value.get<int64_t>()); }
      if (value.is_number_float()) {
        if (const std::optional<T> number = whole<T>(value.get<double>())) { return *number; }
      }
    } else {
      if (value.is_number()) { return value.get<T>(); }
    }
    refuse<T>(where, excerpt(json_text(value)));
  }
}

template <class T>
std::string text_of(const T& value) {
  if constexpr (IsVector<T>::value) {
    std::vector<std::string> items;
    for (const auto& item : value) { items.push_back(text_of(item)); }
    return join_names(items, ",");
  } else if constexpr (std::is_same_v<T, std::string>) {
    return value;
  } else if constexpr (std::is_same_v<T, bool>) {
    return value ? "on" : "off";
  } else {
    char buffer[40];
    return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
  }
}

/// In any case: A.NPZ ends in .npz.
bool ends_in(std::string path, const std::vector<std::string>& endings) {
  std::transform(path.begin(), path.end(), path.begin(), [](unsigned char c) { return std::tolower(c); });
  return std::any_of(endings.begin(), endings.end(), [&](const std::string& e) { return path.ends_with(e); });
}

template <class T, class F>
void for_each_value(const T& value, const F& f) {
  if constexpr (IsVector<T>::value) {
    for (const auto& item : value) { f(item); }
  } else {
    f(value);
  }
}

}  // namespace

void check_text(const std::string& text, const std::string& where) {
  if (text.find('\0') != std::string::npos) {
    throw ConfigError(cat(where, " must be text without NUL bytes, got ", quoted(text)));
  }
  constexpr size_t kLongest = 4096;  // of a path, to the system
  if (text.size() > kLongest) {
    throw ConfigError(cat(where, " must be text of at most ", kLongest, " bytes, got ", quoted(text)));
  }
  if (!is_utf8(text)) { throw ConfigError(cat(where, " must be text in UTF-8, got ", quoted(text))); }
}

// --- Option ---------------------------------------------------------------------------------------------------------

Option::Option(std::string name, OptionTarget target, std::string help)
    : name_(std::move(name)), target_(target), help_(std::move(help)) {
  default_ = default_string();
  const auto* text = std::get_if<std::string*>(&target_);
  const bool counts =
      std::holds_alternative<int64_t*>(target_) || std::holds_alternative<std::vector<int64_t>*>(target_);
  if (counts) { high_ = kMostOfAnything; }
  may_not_be_empty_ = text != nullptr && !(*text)->empty();
}

Option& Option::range(double low, double high) {
  low_ = low;
  high_ = high;
  return *this;
}

Option& Option::at_least(double low) {
  low_ = low;
  return *this;
}

Option& Option::positive() {
  low_ = 0;
  open_low_ = true;
  return *this;
}

Option& Option::needs_each(double bytes) {
  bytes_each_ = bytes;
  return *this;
}

Option& Option::choices(std::vector<std::string> names) {
  choices_ = std::move(names);
  return *this;
}

Option& Option::required() {
  required_ = true;
  return *this;
}

Option& Option::positional() {
  positional_ = true;
  return *this;
}

Option& Option::default_text(std::string text) {
  default_ = std::move(text);
  return *this;
}

Option& Option::metavar(std::string placeholder) {
  metavar_ = std::move(placeholder);
  return *this;
}

Option& Option::unrecorded() {
  recorded_ = false;
  return *this;
}

Option& Option::endings(std::vector<std::string> allowed) {
  endings_ = std::move(allowed);
  return *this;
}

Option& Option::input() {
  input_ = true;
  return *this;
}

Option& Option::preset(std::function<void(const std::string&)> apply) {
  preset_ = std::move(apply);
  return *this;
}

void Option::assign_text(const std::string& text, const std::string& where) {
  std::visit([&](auto* p) { *p = from_text<std::decay_t<decltype(*p)>>(text, where); }, target_);
  accept(where);
}

void Option::assign_json(const Json& value, const std::string& where) {
  std::visit([&](auto* p) { *p = from_json<std::decay_t<decltype(*p)>>(value, where); }, target_);
  accept(where);
}

void Option::accept(const std::string& where) {
  check(where);
  given_ = true;
  if (preset_) { preset_(*std::get<std::string*>(target_)); }
}

void Option::check(const std::string& where) const {
  const auto check_value = [&](const auto& value) {
    using T = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<T, std::string>) {
      if (value.empty() && (required_ || may_not_be_empty_)) { throw ConfigError(cat(where, " must not be empty")); }
      if (!value.empty() && !endings_.empty() && !ends_in(value, endings_)) {
        throw ConfigError(cat(where, " must end in ", join_names(endings_, " or "),
                              ", the format that is written, got ", quoted(value)));
      }
      if (choices_.empty() || std::find(choices_.begin(), choices_.end(), value) != choices_.end()) { return; }
      throw ConfigError(cat(where, " must be one of ", text_of(choices_), ", got ", quoted(value)));
    } else if constexpr (!std::is_same_v<T, bool>) {
      const auto x = static_cast<double>(value);
      if (std::isnan(x)) { throw ConfigError(cat(where, " must be a number, got nan")); }
      if (open_low_ && !(x > low_)) { throw ConfigError(cat(where, " must be above ", low_, ", got ", value)); }
      if (x < low_) { throw ConfigError(cat(where, " must be at least ", low_, ", got ", value)); }
      if (x > high_) {
        throw ConfigError(cat(where, " must be at most ", text_of(static_cast<T>(high_)), ", got ", value));
      }
      if (std::isinf(x)) { throw ConfigError(cat(where, " must be a finite number, got ", value)); }
      if (bytes_each_ > 0) { check_memory(x * bytes_each_, cat(where, " ", value), where); }
    }
  };
  std::visit([&](auto* p) { for_each_value(*p, check_value); }, target_);
}

Json Option::json() const {
  return std::visit([](auto* p) { return Json(*p); }, target_);
}

std::string Option::default_string() const {
  return std::visit([](auto* p) { return text_of(*p); }, target_);
}

std::string Option::type_name() const {
  return std::visit(
      [this](auto* p) -> std::string {
        using T = std::decay_t<decltype(*p)>;
        if constexpr (std::is_same_v<T, bool>) { return ""; }
        if (!endings_.empty()) { return "FILE" + endings_.front(); }
        if (!metavar_.empty()) { return metavar_; }
        if constexpr (std::is_same_v<T, std::string>) { return choices_.empty() ? "TEXT" : "NAME"; }
        if constexpr (std::is_same_v<T, std::vector<std::string>>) { return "A,B,.."; }
        if constexpr (IsVector<T>::value) { return "N,N,.."; }
        if constexpr (std::is_floating_point_v<T>) { return "X"; }
        return "N";
      },
      target_);
}

}  // namespace terrace
