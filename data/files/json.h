// JSON. Sources use these types and functions rather than the library's own, so that its parser and its serializer,
// which cost more to compile than most sources, are compiled once.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace terrace {

using Json = nlohmann::ordered_json;  // keys keep the order in which they were written
using SortedJson = nlohmann::json;    // keys are sorted

/// J is Json or SortedJson. Throws J::parse_error where the text is not JSON.
template <class J = Json>
J parse_json(const std::string& text);
/// A value that is_discarded() where the text is not JSON.
template <class J = Json>
J parse_json_if_valid(const std::string& text);

/// In one line; with an indent of that many spaces, a line an element. Throws Json::type_error where a string is not
/// UTF-8.
std::string json_text(const Json& value, int indent = -1);
std::string json_text(const SortedJson& value, int indent = -1);

extern template Json parse_json<Json>(const std::string& text);
extern template SortedJson parse_json<SortedJson>(const std::string& text);
extern template Json parse_json_if_valid<Json>(const std::string& text);
extern template SortedJson parse_json_if_valid<SortedJson>(const std::string& text);

}  // namespace terrace
