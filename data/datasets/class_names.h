// Classes as a user names them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace terrace {

/// The class that `text` stands for: one of the names, or a number below `classes`; a name wins. `names` may be empty.
/// Throws ConfigError that begins with `option` and tells a name that is near.
int64_t find_class(const std::string& text, const std::vector<std::string>& names, int64_t classes,
                   const std::string& option);

}  // namespace terrace
