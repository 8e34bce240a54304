// run_fixture FIXTURE.h5 --out OUT.h5: computes a fixture's results from its inputs, and says how far they are from
// those that the fixture brings.
#include <algorithm>
#include <cstdio>

#include "experiments/support/fixtures/fixture.h"
#include "experiments/support/options.h"
#include "experiments/support/program.h"

namespace {

using namespace terrace;

void print_differences(const std::vector<ResultDifference>& results) {
  if (results.empty()) {
    std::printf("the fixture brings no results to compare with\n");
    return;
  }
  size_t width = 0;
  for (const ResultDifference& result : results) width = std::max(width, result.dataset.size());
  const int column = static_cast<int>(width);
  std::printf("%-*s  %12s  %12s  %12s\n", column, "dataset", "relative", "absolute", "magnitude");
  const ResultDifference* worst = nullptr;
  int problems = 0;
  for (const ResultDifference& result : results) {
    if (!result.problem.empty()) {
      std::printf("%-*s  %s\n", column, result.dataset.c_str(), result.problem.c_str());
      ++problems;
      continue;
    }
    const Difference& d = result.difference;
    std::printf("%-*s  %12.3g  %12.3g  %12.3g\n", column, result.dataset.c_str(), d.relative(), d.worst, d.scale);
    if (worst == nullptr || d.relative() > worst->difference.relative()) worst = &result;
  }
  std::printf("%zu results, %d not comparable", results.size(), problems);
  if (worst != nullptr)
    std::printf("; largest relative difference %.3g in %s", worst->difference.relative(), worst->dataset.c_str());
  std::printf("\n");
}

void body(int argc, char** argv) {
  std::string fixture;
  CommonOptions common;
  Options options("run_fixture", cat("Computes the results of a fixture (kinds: ", fixture_kinds(),
                                     ") from its inputs, writes them under the same names, and prints how far they are "
                                     "from the fixture's own."));
  options.add("fixture", fixture, "HDF5 file with the attribute `config`").positional().required();
  options.add_common(common, "HDF5 file for the results");
  options.parse(argc, argv);
  common.apply();
  if (common.out.empty()) throw ConfigError("--out OUT.h5 is missing");
  run_fixture(fixture, common.out);
  print_differences(compare_with_fixture(fixture, common.out));
}

}  // namespace

int main(int argc, char** argv) { return run_program(argc, argv, body); }
