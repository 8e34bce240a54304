// SIGINT, SIGTERM, SIGHUP and a closed standard output at a moment; a second signal.
#include <csignal>
#include <cstring>

#include "tensor/base/error.h"
#include "tests/reliability/judge.h"
#include "tests/reliability/runs.h"

namespace terrace {
namespace {

/// How long a toy run may take from the signal to its end: the promise for runs of any size is 2 s to the answer.
constexpr double kPatience = 2;

}  // namespace

Verdict try_signal(const Place& place, int64_t index, Chance& chance) {
  const size_t runs = disturbed_runs().size(), which = static_cast<size_t>(index) % runs;
  const DisturbedRun& run = disturbed_runs()[which];
  const double moment = chance.unit() * undisturbed()[which].seconds;
  const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
  const int number = numbers[(static_cast<size_t>(index) / runs) % 4];
  const bool twice = number != SIGPIPE && chance.below(4) == 0;
  ProcessOptions options;
  std::string what;
  if (number == SIGPIPE) {
    options.close_stdout_after = moment;
    what = cat("standard output closed after ", moment, " s");
  } else {
    options.signals = {{moment, number}};
    what = cat(strsignal(number), " after ", moment, " s");
    if (twice) {
      options.signals.push_back({moment + 0.05 * chance.unit(), number});
      what += ", and again";
    }
  }
  const Sandbox sandbox(place.scratch / "try", place.fixture, run.needs);
  const ProcessResult result = run_process(run.command, sandbox.path(), options);
  if (!place.keep.empty()) { sandbox.keep(place.keep); }
  const Snapshot now = snapshot(sandbox.path());
  const std::string begun = new_file(now, undisturbed()[which].before);
  const std::string left = unfinished_file(now);
  const auto end_with = [&](Outcome outcome, const std::string& detail) {
    return Verdict{run.program, outcome, cat(what, "; ", run.command, ": ", detail, ": ", describe(result))};
  };
  // Whose work was complete by then finds that nobody reads its last lines, and ends as others do.
  const bool complete =
      number == SIGPIPE && left.empty() &&
      difference_of(part_of(now, run.results), part_of(undisturbed()[which].after, run.results)).empty();
  if (complete && result.signal == SIGPIPE) { return end_with(Outcome::kSame, ""); }
  // A signal ends a program that has not begun its work, and a second one any.
  const bool by_it = result.signal == number && (begun.empty() || twice);
  Verdict verdict;
  if (result.signal == number && !by_it) {
    return end_with(Outcome::kCrash, "ends without the care of another signal, having written " + begun);
  }
  if (!by_it && ended_badly(result, verdict)) { return end_with(verdict.outcome, ""); }
  // That nobody reads its output a program finds when it prints.
  if (number != SIGPIPE && result.reacted > kPatience) {
    return end_with(Outcome::kHang, cat("ended ", result.reacted, " s later"));
  }
  if (!left.empty() && !by_it) { return end_with(Outcome::kLeftOver, left); }
  return judge_continuation(which, sandbox, cat(what, ": ", describe(result)));
}

}  // namespace terrace
