#include "tests/golden.h"

#include "experiments/fixtures/fixture.h"
#include "tests/support.h"

namespace terrace {

void expect_golden(const std::string& name, const std::string& weights) {
  const std::string path = GoldenFile(name).path();
  const TemporaryFolder folder;
  run_fixture(path, folder / "out.h5", weights, test_device());
  const std::vector<ResultDifference> results = compare_with_fixture(path, folder / "out.h5");
  EXPECT_FALSE(results.empty()) << name;
  for (const ResultDifference& r : results) {
    EXPECT_TRUE(r.within()) << name << ": " << r.dataset << ": " << r.problem << " " << name_of(r.tolerance.measure)
                            << " difference " << r.error << " of " << r.tolerance.limit << " allowed; worst at "
                            << r.difference.index << ": " << r.difference.a << ", expected " << r.difference.b;
  }
}

}  // namespace terrace
