#include "data/files/json.h"

namespace terrace {

template <class J>
J parse_json(const std::string& text) {
  return J::parse(text);
}

template <class J>
J parse_json_if_valid(const std::string& text) {
  return J::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::string json_text(const Json& value, int indent) { return value.dump(indent); }
std::string json_text(const SortedJson& value, int indent) { return value.dump(indent); }

template Json parse_json<Json>(const std::string& text);
template SortedJson parse_json<SortedJson>(const std::string& text);
template Json parse_json_if_valid<Json>(const std::string& text);
template SortedJson parse_json_if_valid<SortedJson>(const std::string& text);

}  // namespace terrace
