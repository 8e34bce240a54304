// The transformers of the golden fixtures, for the tests of the model and the sampler.
#pragma once

#include <memory>
#include <string>

#include "experiments/fixtures/models.h"
#include "tests/support.h"

namespace terrace {

inline VarConfig golden_config(const GoldenFile& golden) {
  return fixture_var_config(open_fixture(golden.path()).config);
}

/// With the fixture's weights, in eval mode.
inline std::unique_ptr<VarTransformer> golden_transformer(const GoldenFile& golden) {
  return fixture_transformer(open_fixture(golden.path()));
}

}  // namespace terrace
