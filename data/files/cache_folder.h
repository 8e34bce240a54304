// Where a user's cache lies.
#pragma once

#include <string>

namespace terrace {

/// The value of an environment variable, "" where it is not set.
std::string environment_variable(const char* name);
/// XDG_CACHE_HOME/terrace, else HOME/.cache/terrace, else "".
std::string user_cache_folder();

}  // namespace terrace
