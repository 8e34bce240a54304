#include "data/files/json.h"

#include <algorithm>
#include <set>
#include <vector>

#include "data/files/checksum.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

/// Whether brackets outside of strings are open at once beyond kMaxJsonDepth.
bool is_too_deep(const std::string& text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '[' || c == '{')) {
      if (++depth > kMaxJsonDepth) { return true; }
    } else if (!in_string && (c == ']' || c == '}')) {
      --depth;
    }
  }
  return false;
}

int64_t line_of(const std::string& text, size_t byte) {
  return 1 + std::count(text.begin(), text.begin() + static_cast<int64_t>(std::min(byte, text.size())), '\n');
}

/// The place behind the string whose opening quote is at `begin`.
size_t end_of_string(const std::string& text, size_t begin) {
  for (size_t i = begin + 1; i < text.size(); ++i) {
    if (text[i] == '"') { return i + 1; }
    if (text[i] == '\\') { ++i; }
  }
  return text.size();
}

/// The first number of the text, outside of strings, that is beyond a double's range, with its line; "" where there is
/// none.
std::string number_beyond(const std::string& text) {
  for (size_t begin = 0; (begin = text.find_first_of("\"0123456789", begin)) != std::string::npos;) {
    if (text[begin] == '"') {
      begin = end_of_string(text, begin);
      continue;
    }
    const size_t end = std::min(text.find_first_not_of("0123456789.eE+-", begin), text.size());
    const std::string number = text.substr(begin, end - begin);
    if (Json::parse(number, nullptr, /*allow_exceptions=*/false).is_discarded()) {
      const std::string shown = number.size() > 24 ? number.substr(0, 24) + "..." : number;
      return cat("line ", line_of(text, begin), ": ", shown);
    }
    begin = end;
  }
  return "";
}

constexpr const char* kChecksum = "checksum";
constexpr const char* kKind = "xxh3:";

std::string checksum_of(const Json& object) {
  const std::string text = object.dump();
  return kKind + checksum_digits(checksum(text.data(), text.size()));
}

/// Whether it is a checksum, whatever its name: a flipped bit may have hit the name.
bool is_checksum(const Json& value) { return value.is_string() && value.get<std::string>().starts_with(kKind); }

}  // namespace

template <class J>
J parse_json(const std::string& text) {
  if (is_too_deep(text)) {
    throw J::out_of_range::create(408, cat("nested deeper than ", kMaxJsonDepth, " levels"),
                                  static_cast<const J*>(nullptr));
  }
  return J::parse(text);
}

template <class J>
J parse_json_if_valid(const std::string& text) {
  if (is_too_deep(text)) { return J(J::value_t::discarded); }
  return J::parse(text, nullptr, /*allow_exceptions=*/false);
}

Json parse_written_json(const std::string& text, const std::string& where) {
  if (is_too_deep(text)) { throw ConfigError(cat(where, ": nested deeper than ", kMaxJsonDepth, " levels")); }
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto note_key = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) { keys.emplace_back(); }
    if (event == Json::parse_event_t::object_end) { keys.pop_back(); }
    if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) {
      throw ConfigError(cat(where, ": key '", value.get<std::string>(), "' is there twice"));
    }
    return true;
  };
  try {
    return Json::parse(text, note_key);
  } catch (const Json::parse_error& error) {
    throw ConfigError(cat(where, ": not valid JSON near line ", line_of(text, error.byte)));
  } catch (const Json::out_of_range&) {
    throw ConfigError(cat(where, ": ", number_beyond(text),
                          " is beyond the numbers of JSON here, whose magnitude is at most 1.8e308"));
  }
}

std::string json_text(const Json& value, int indent) { return value.dump(indent); }
std::string json_text(const SortedJson& value, int indent) { return value.dump(indent); }

std::string checked_json_text(Json object, int indent) {
  if (object.is_null()) { object = Json::object(); }
  object.erase(kChecksum);
  object[kChecksum] = checksum_of(object);
  return object.dump(indent) + "\n";
}

JsonCheck take_checksum(Json& object) {
  if (!object.is_object()) { return JsonCheck::kNone; }
  const auto found = object.find(kChecksum);
  if (found == object.end()) {
    return std::any_of(object.begin(), object.end(), is_checksum) ? JsonCheck::kDiffers : JsonCheck::kNone;
  }
  const Json stored = *found;
  object.erase(kChecksum);
  return stored == checksum_of(object) ? JsonCheck::kSame : JsonCheck::kDiffers;
}

template Json parse_json<Json>(const std::string& text);
template SortedJson parse_json<SortedJson>(const std::string& text);
template Json parse_json_if_valid<Json>(const std::string& text);
template SortedJson parse_json_if_valid<SortedJson>(const std::string& text);

}  // namespace terrace
