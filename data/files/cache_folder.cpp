#include "data/files/cache_folder.h"

#include <cstdlib>

namespace terrace {

std::string environment_variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string user_cache_folder() {
  if (const std::string cache = environment_variable("XDG_CACHE_HOME"); !cache.empty()) { return cache + "/terrace"; }
  if (const std::string home = environment_variable("HOME"); !home.empty()) { return home + "/.cache/terrace"; }
  return "";
}

}  // namespace terrace
