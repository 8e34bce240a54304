// What differs between two configurations, for the message of an error.
#pragma once

#include <string>

#include "data/files/json.h"

namespace terrace {

/// Every value of the objects that differs, what is `there` first: "steps = 3000, not 3200; positions.rms = 0, not
/// 0.03". Members of inner objects are named by their path; a value that one of the two lacks is "nothing". Empty where
/// nothing differs.
std::string json_differences(const Json& there, const Json& here);

}  // namespace terrace
