// What is said of files whose format has no checksum, or which have none.
#pragma once

#include <string>

namespace terrace {

/// A note, once a file.
void note_without_checksums(const std::string& path);

}  // namespace terrace
