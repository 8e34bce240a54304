// JSON as the programs use it: keys keep the order in which they were written.
#pragma once

#include <nlohmann/json.hpp>

namespace terrace {

using Json = nlohmann::ordered_json;

}  // namespace terrace
