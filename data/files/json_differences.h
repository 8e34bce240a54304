// What differs between two configurations, for the message of an error.
#pragma once

#include <map>
#include <string>

#include "data/files/json.h"

namespace terrace {

/// Every value of the objects that differs, what is `there` first: "steps = 3000, not 3200; positions.rms = 0, not
/// 0.03". Members of inner objects are named by their path; a value that one of the two lacks is "nothing". Empty where
/// nothing differs. `names`: what a path is called where it is not called by itself.
std::string json_differences(const Json& there, const Json& here, const std::map<std::string, std::string>& names = {});

}  // namespace terrace
