// Why libarchive failed.
#pragma once

#include <archive.h>

#include <string>

namespace terrace {

/// The message of the last failure, "unknown reason" where the library has none.
inline std::string archive_reason(archive* a) {
  const char* reason = archive_error_string(a);
  return reason != nullptr ? reason : "unknown reason";
}

}  // namespace terrace
