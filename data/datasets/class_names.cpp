#include "data/datasets/class_names.h"

#include <algorithm>

#include "tensor/base/error.h"
#include "tensor/base/names.h"

namespace terrace {

int64_t find_class(const std::string& text, const std::vector<std::string>& names, int64_t classes,
                   const std::string& option) {
  const auto found = std::find(names.begin(), names.end(), text);
  if (found != names.end()) { return found - names.begin(); }
  const bool digits = !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos;
  if (digits && std::stoll(text) < classes) { return std::stoll(text); }
  const std::string near = nearest_name(text, names);
  throw ConfigError(cat(option, ": '", text, "' is neither a class name",
                        near.empty() ? "" : cat(" (near: ", near, ")"), " nor a number below ", classes));
}

}  // namespace terrace
