// SIGKILL: at a moment, and in the midst of a call that changes a file.
#include <csignal>

#include "tensor/base/error.h"
#include "tests/reliability/judge.h"
#include "tests/reliability/runs.h"

namespace terrace {

Verdict try_kill(const Place& place, int64_t index, Chance& chance) {
  const size_t runs = disturbed_runs().size(), which = static_cast<size_t>(index) % runs;
  const DisturbedRun& run = disturbed_runs()[which];
  const Undisturbed& whole = undisturbed()[which];
  const Sandbox sandbox(place.scratch / "try", place.fixture, run.needs);
  std::string what;
  // Some are killed again while they go on.
  for (int64_t kills = 1 + chance.below(4) / 3; kills > 0; --kills) {
    const bool resumes = !run.begun.empty() && sandbox.has(run.begun);
    const bool is_first = what.empty();
    const std::string command = run.command + (is_first ? "" : resumes ? run.resume : run.again);
    ProcessOptions options;
    if (chance.below(3) == 0) {
      options.signals = {{chance.unit() * whole.seconds, SIGKILL}};
      what += cat("killed after ", options.signals[0].after, " s, ");
    } else {
      const int64_t at = 1 + chance.below(whole.calls.changes);
      options = with_fault("kill:change", at, sandbox.path().string(), place.scratch / "counter");
      what += cat("killed in change ", at, " of ", whole.calls.changes, ", ");
    }
    const ProcessResult result = run_process(command, sandbox.path(), options);
    if (result.signal != SIGKILL && !result.ended(0)) {
      Verdict verdict{.subject = run.program, .detail = cat(what, command)};
      if (ended_badly(result, verdict)) { return verdict; }
      return {run.program, Outcome::kWrongText, cat(what, command, ": ", describe(result))};
    }
  }
  if (!place.keep.empty()) { sandbox.keep(place.keep); }
  return judge_continuation(which, sandbox, what);
}

}  // namespace terrace
