#include "data/formats/pickle_program.h"

namespace terrace {

std::string_view PickleProgram::take(size_t count) {
  if (count > bytes_.size() - at_) { fail_truncated(); }
  const std::string_view part(reinterpret_cast<const char*>(bytes_.data()) + at_, count);
  at_ += count;
  return part;
}

double PickleProgram::big_endian_double() {
  uint64_t bits = 0;
  for (const char c : take(8)) { bits = bits << 8 | static_cast<unsigned char>(c); }
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

size_t PickleProgram::long_length() {
  const auto length = number<uint64_t>();
  if (length > bytes_.size()) { fail_truncated(); }
  return static_cast<size_t>(length);
}

std::string_view PickleProgram::line() {
  const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + at_, bytes_.size() - at_);
  const size_t end = rest.find('\n');
  if (end == std::string_view::npos) { fail_truncated(); }
  at_ += end + 1;
  return rest.substr(0, end);
}

}  // namespace terrace
