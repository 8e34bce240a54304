// Files of options and records, which a user may name and which are small.
#pragma once

#include <cstddef>
#include <string>

namespace terrace {

/// The most that read_small_file() takes.
inline constexpr size_t kMaxSmallFile = size_t{64} << 20;

/// The bytes of a file or a pipe of at most kMaxSmallFile. Waits for a pipe's writer; Ctrl-C ends the wait
/// (Interrupted). Throws IoError where it cannot be read, ConfigError where it is larger, as /dev/zero is.
std::string read_small_file(const std::string& path);

}  // namespace terrace
