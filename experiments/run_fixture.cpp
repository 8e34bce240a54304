// run_fixture FIXTURE.h5 [--weights FILE] --out OUT.h5: computes a fixture's results from its inputs, and says how far
// they are from those that the fixture brings.
#include <algorithm>
#include <cstdio>
#include <limits>

#include "experiments/cli/options.h"
#include "experiments/cli/output_folder.h"
#include "experiments/cli/program.h"
#include "experiments/fixtures/fixture.h"

namespace {

using namespace terrace;

/// 1 at the limit. Of results that must be equal only a difference counts.
double share_of_limit(const ResultDifference& result) {
  if (result.error == 0) { return 0; }
  return result.error / std::max(result.tolerance.limit, std::numeric_limits<double>::min());
}

/// Whether all are within their tolerances.
bool print_differences(const std::vector<ResultDifference>& results) {
  if (results.empty()) {
    std::printf("the fixture brings no results to compare with\n");
    return true;
  }
  size_t width = 0;
  for (const ResultDifference& result : results) { width = std::max(width, result.dataset.size()); }
  const int column = static_cast<int>(width);
  std::printf("%-*s  %12s  %12s  %12s  %-8s\n", column, "dataset", "magnitude", "difference", "allowed", "measure");
  const ResultDifference* nearest = nullptr;  // to its limit, or farthest beyond it
  int64_t outside = 0;
  for (const ResultDifference& result : results) {
    const char* verdict = result.within() ? "" : "  OUTSIDE";
    outside += result.within() ? 0 : 1;
    if (!result.problem.empty()) {
      std::printf("%-*s  %s%s\n", column, result.dataset.c_str(), result.problem.c_str(), verdict);
      continue;
    }
    std::printf("%-*s  %12.3g  %12.3g  %12.3g  %-8s%s\n", column, result.dataset.c_str(), result.difference.scale,
                result.error, result.tolerance.limit, name_of(result.tolerance.measure), verdict);
    if (nearest == nullptr || share_of_limit(result) > share_of_limit(*nearest)) { nearest = &result; }
  }
  std::printf("%zu results, %lld outside their tolerance", results.size(), static_cast<long long>(outside));
  if (nearest != nullptr) {
    std::printf("; nearest to its limit: %s, %.3g of %.3g allowed", nearest->dataset.c_str(), nearest->error,
                nearest->tolerance.limit);
  }
  std::printf("\n");
  return outside == 0;
}

void body(int argc, char** argv) {
  std::string fixture, weights;
  CommonOptions common;
  Options options("run_fixture", cat("Computes the results of a fixture (kinds: ", fixture_kinds(),
                                     ") from its inputs, writes them under the same names, and prints how far they are "
                                     "from the fixture's own."));
  options.add("fixture", fixture, "HDF5 file with the attribute `config`").positional().required().input();
  options.add("weights", weights, "file of Inception-v3 weights, for fixtures of kind inception_features")
      .metavar("FILE")
      .input();
  options.add_common(common, "file for the results").endings({".h5", ".hdf5"});
  options.epilog(
      "The exit code is 0 where every result is within its tolerance, 1 where one is not, 2 after an error.");
  options.parse(argc, argv);
  const Device device = common.apply();
  if (common.out.empty()) { throw ConfigError("--out OUT.h5 is missing"); }
  const OutputFile results(common.out, true, "--out", options.inputs());  // written anew each time
  run_fixture(fixture, common.out, weights, device);
  if (!print_differences(compare_with_fixture(fixture, common.out))) { throw EarlyExit{1}; }
}

}  // namespace

int main(int argc, char** argv) { return run_program(argc, argv, body); }
