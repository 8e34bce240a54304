// Limits of the process: address space, open files, the size of a file, processes.
#include <sys/resource.h>
#include <unistd.h>

#include "tensor/base/error.h"
#include "tests/reliability/judge.h"
#include "tests/reliability/runs.h"

namespace terrace {
namespace {

struct Limit {
  const char* name;
  int resource;
  int64_t low, high;  // inclusive
};

constexpr Limit kLimits[] = {
    {"ulimit -v (bytes)", RLIMIT_AS, int64_t{150} << 20, int64_t{1500} << 20},
    {"ulimit -n", RLIMIT_NOFILE, 3, 40},
    {"ulimit -f (bytes)", RLIMIT_FSIZE, 0, int64_t{1} << 20},
    {"ulimit -u", RLIMIT_NPROC, 0, 4},
};

}  // namespace

Verdict try_limit(const Place& place, int64_t index, Chance& chance) {
  const size_t runs = disturbed_runs().size(), which = static_cast<size_t>(index) % runs;
  const DisturbedRun& run = disturbed_runs()[which];
  const Limit& limit = kLimits[(static_cast<size_t>(index) / runs) % 4];
  if (limit.resource == RLIMIT_NPROC && ::geteuid() == 0) {
    return {run.program, Outcome::kSkipped, "the superuser has no limit of processes"};
  }
  const int64_t value = limit.low + chance.below(limit.high - limit.low + 1);
  const std::string what = cat(limit.name, " ", value, ": ", run.command);
  const Sandbox sandbox(place.scratch / "try", place.fixture, run.needs);
  const ProcessResult result =
      run_process(run.command, sandbox.path(), {.limits = {{limit.resource, static_cast<uint64_t>(value)}}});
  if (!place.keep.empty()) { sandbox.keep(place.keep); }
  if (result.ended(127) && result.err.find("error while loading shared libraries") != std::string::npos) {
    return {run.program, Outcome::kRefused, what};  // by the loader, before the program begins
  }
  Verdict verdict{.subject = run.program, .detail = what};
  if (ended_badly(result, verdict)) { return {run.program, verdict.outcome, cat(what, "; ", verdict.detail)}; }
  if (const std::string left = unfinished_file(snapshot(sandbox.path())); !left.empty()) {
    return {run.program, Outcome::kLeftOver, cat(what, "; ", left, "; ", describe(result))};
  }
  const std::string fault = result.exit_code == 0 ? "" : fault_of_text(result, "");
  if (!fault.empty()) { return {run.program, Outcome::kWrongText, cat(what, "; ", fault, "; ", describe(result))}; }
  verdict = judge_continuation(which, sandbox, what);
  if (verdict.outcome == Outcome::kSame && result.exit_code != 0) { verdict.outcome = Outcome::kRefused; }
  return verdict;
}

}  // namespace terrace
