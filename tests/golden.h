// Golden fixtures of tests/golden, computed by the code of run_fixture.
#pragma once

#include <string>

namespace terrace {

/// Every result that the fixture brings must come out within its tolerance, and no other.
/// `weights`: for kinds that take them from a file.
void expect_golden(const std::string& name, const std::string& weights = "");

}  // namespace terrace
