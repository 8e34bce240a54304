// Golden fixtures of tests/golden, computed by the code of run_fixture.
#pragma once

#include <string>

namespace terrace {

/// Every result that the fixture brings must come out within its tolerance, and no other.
void expect_golden(const std::string& name);

}  // namespace terrace
