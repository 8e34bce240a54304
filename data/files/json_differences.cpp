#include "data/files/json_differences.h"

#include <vector>

#include "tensor/base/error.h"
#include "tensor/base/names.h"

namespace terrace {
namespace {

const Json* member(const Json& object, const std::string& name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

using Names = std::map<std::string, std::string>;

std::string text_of(const Json* value) { return value == nullptr ? "nothing" : json_text(*value); }

void collect(const Json& there, const Json& here, const std::string& path, const Names& names,
             std::vector<std::string>& found) {
  const auto compare = [&](const std::string& name) {
    const Json *a = member(there, name), *b = member(here, name);
    if (a != nullptr && b != nullptr && *a == *b) { return; }
    if (a != nullptr && b != nullptr && a->is_object() && b->is_object()) {
      return collect(*a, *b, cat(path, name, "."), names, found);
    }
    const auto called = names.find(path + name);
    found.push_back(cat(called == names.end() ? path + name : called->second, " = ", text_of(a), ", not ", text_of(b)));
  };
  for (const auto& entry : there.items()) { compare(entry.key()); }
  for (const auto& entry : here.items()) {
    if (!there.contains(entry.key())) { compare(entry.key()); }
  }
}

}  // namespace

std::string json_differences(const Json& there, const Json& here, const Names& names) {
  std::vector<std::string> found;
  collect(there, here, "", names, found);
  return join_names(found, "; ");
}

}  // namespace terrace
