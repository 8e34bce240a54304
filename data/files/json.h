// JSON. Sources use these types and functions rather than the library's own, so that its parser and its serializer,
// which cost more to compile than most sources, are compiled once.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace terrace {

using Json = nlohmann::ordered_json;  // keys keep the order in which they were written
using SortedJson = nlohmann::json;    // keys are sorted

/// Arrays and objects inside of each other, at most: what a value is copied and written by recurses.
inline constexpr int kMaxJsonDepth = 64;

/// J is Json or SortedJson. Throws J::exception where the text is not JSON, or nested deeper than kMaxJsonDepth.
template <class J = Json>
J parse_json(const std::string& text);
/// A value that is_discarded() where the text is not JSON, or nested deeper than kMaxJsonDepth.
template <class J = Json>
J parse_json_if_valid(const std::string& text);

/// The JSON of a text that a user wrote. Throws ConfigError, with the line: "c.json: not valid JSON near line 3",
/// "c.json: line 3: 1e400 is beyond the numbers of JSON here, whose magnitude is at most 1.8e308", "c.json: key 'steps'
/// is there twice", "c.json: nested deeper than 64 levels". `where` names the file.
Json parse_written_json(const std::string& text, const std::string& where);

/// In one line; with an indent of that many spaces, a line an element. Throws Json::type_error where a string is not
/// UTF-8.
std::string json_text(const Json& value, int indent = -1);
std::string json_text(const SortedJson& value, int indent = -1);

// Files that a program writes and reads back end with a member "checksum": "xxh3:" and 16 digits, of the object's text
// in one line without it. So a flipped bit that leaves valid JSON, or an edit, is noticed.

/// The text of such a file: the object with its checksum, in lines, or with an indent of -1 in one. An object that has
/// a member of that name already gets it anew.
std::string checked_json_text(Json object, int indent = 2);

enum class JsonCheck : uint8_t {
  kSame,
  kNone,    // there is no checksum: an earlier version wrote the file, or someone removed it
  kDiffers  // the file was edited, or is damaged
};
/// Compares an object with its checksum, which it loses. What is no object has none.
JsonCheck take_checksum(Json& object);

extern template Json parse_json<Json>(const std::string& text);
extern template SortedJson parse_json<SortedJson>(const std::string& text);
extern template Json parse_json_if_valid<Json>(const std::string& text);
extern template SortedJson parse_json_if_valid<SortedJson>(const std::string& text);

}  // namespace terrace
