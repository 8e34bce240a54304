#include "metrics/inception/weights.h"

#include <filesystem>

#include "data/files/cache_folder.h"
#include "tensor/base/error.h"

namespace terrace {

std::string find_inception_weights() {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const std::string named = environment_variable("TERRACE_INCEPTION");
  if (!named.empty()) {
    if (fs::is_regular_file(named, ignored)) { return named; }
    throw IoError(cat("TERRACE_INCEPTION names no file: ", named));
  }
  const std::string cache = user_cache_folder();
  if (cache.empty()) { return ""; }
  const fs::path file = fs::path(cache) / "inception" / kInceptionFile;
  return fs::is_regular_file(file, ignored) ? file.string() : "";
}

}  // namespace terrace
