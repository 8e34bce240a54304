// The golden fixtures of kinds ops, optim and positional.
#include "tests/golden.h"

#include "tests/support.h"

namespace terrace {
namespace {

TEST(GoldenOps, EveryCase) { expect_golden("ops.h5"); }
TEST(GoldenOps, OtherShapesValuesAndParameters) { expect_golden("ops_variants.h5"); }

TEST(GoldenOptim, EveryGroup) { expect_golden("optim.h5"); }
TEST(GoldenOptim, OtherShapesValuesAndParameters) { expect_golden("optim_variants.h5"); }

TEST(GoldenPositional, EveryTable) { expect_golden("positional.h5"); }
TEST(GoldenPositional, OtherPyramids) { expect_golden("positional_variants.h5"); }

}  // namespace
}  // namespace terrace
