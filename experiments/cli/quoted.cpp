#include "experiments/cli/quoted.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string_view>

#include "tensor/base/error.h"

namespace terrace {
namespace {

constexpr size_t kLongest = 120;  // bytes of a text that are shown

/// Bytes of the character that the text begins with; 0 where it is no UTF-8: too short, overlong, a surrogate, or
/// beyond U+10FFFF.
size_t character_size(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) { return 1; }
  const size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < size) { return 0; }
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) { return 0; }
  }
  const uint8_t second = byte(1);
  if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F)) { return 0; }
  if ((first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F)) { return 0; }
  return size;
}

}  // namespace

bool is_utf8(const std::string& text) {
  for (std::string_view rest = text; !rest.empty();) {
    const size_t size = character_size(rest);
    if (size == 0) { return false; }
    rest.remove_prefix(size);
  }
  return true;
}

std::string excerpt(const std::string& text) {
  std::string shown;
  std::string_view rest = text;
  while (!rest.empty() && shown.size() < kLongest) {
    const size_t size = character_size(rest);
    const auto first = static_cast<uint8_t>(rest[0]);
    if (size == 0 || first < 0x20 || first == 0x7F) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", first);
      shown += escaped;
      rest.remove_prefix(1);
      continue;
    }
    shown += rest.substr(0, size);
    rest.remove_prefix(size);
  }
  return rest.empty() ? shown : cat(shown, "... (", text.size(), " bytes)");
}

std::string quoted(const std::string& text) { return cat("'", excerpt(text), "'"); }

}  // namespace terrace
