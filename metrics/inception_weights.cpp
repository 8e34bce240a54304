#include "metrics/inception_weights.h"

#include <cstdlib>
#include <filesystem>

#include "tensor/error.h"

namespace terrace {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

std::string find_inception_weights() {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const std::string named = environment("TERRACE_INCEPTION");
  if (!named.empty()) {
    if (fs::is_regular_file(named, ignored)) return named;
    throw IoError(cat("TERRACE_INCEPTION names no file: ", named));
  }
  std::string cache = environment("XDG_CACHE_HOME");
  if (cache.empty()) {
    const std::string home = environment("HOME");
    if (home.empty()) return "";
    cache = home + "/.cache";
  }
  const fs::path file = fs::path(cache) / "terrace/inception" / kInceptionFile;
  return fs::is_regular_file(file, ignored) ? file.string() : "";
}

}  // namespace terrace
