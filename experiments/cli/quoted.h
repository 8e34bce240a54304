// What a user gave, as an error's text shows it.
#pragma once

#include <string>

namespace terrace {

/// Whether the text is UTF-8 (RFC 3629).
bool is_utf8(const std::string& text);

/// The text in one line of printable characters: control characters and bytes that are no UTF-8 as \xHH; of a long one
/// the beginning and "... (N bytes)".
std::string excerpt(const std::string& text);

/// The excerpt in single quotes.
std::string quoted(const std::string& text);

}  // namespace terrace
