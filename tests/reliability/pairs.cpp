// Two processes at once: with one --out, and with one cache.
#include <sys/wait.h>
#include <unistd.h>

#include <sstream>

#include "data/files/atomic_file.h"
#include "tensor/base/error.h"
#include "tests/reliability/fixture.h"
#include "tests/reliability/judge.h"
#include "tests/reliability/runs.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

/// Runs both in processes of their own, which wait for one program each, and reads what these write.
std::pair<ProcessResult, ProcessResult> run_both(const std::string (&commands)[2], double delay, const Sandbox& sandbox,
                                                 const fs::path& scratch) {
  pid_t waiting[2];
  for (int i = 0; i < 2; ++i) {
    waiting[i] = ::fork();
    if (waiting[i] != 0) { continue; }
    adopt_orphans();
    if (i == 1) { ::usleep(static_cast<useconds_t>(delay * 1e6)); }
    const ProcessResult result = run_process(commands[i], sandbox.path());
    put_bytes(scratch / cat("result", i), cat(result.exit_code, " ", result.signal, " ", int{result.hung}, " ",
                                              int{result.orphans}, " ", result.seconds, "\n", result.err));
    ::_exit(0);
  }
  ProcessResult results[2];
  for (int i = 0; i < 2; ++i) {
    ::waitpid(waiting[i], nullptr, 0);
    const std::string text = read_file(scratch / cat("result", i));
    std::istringstream(text) >> results[i].exit_code >> results[i].signal >> results[i].hung >> results[i].orphans >>
        results[i].seconds;
    results[i].err = text.substr(text.find('\n') + 1);
  }
  return {results[0], results[1]};
}

/// Neither may end badly; one that is refused says why in one line.
bool both_end_well(const ProcessResult& first, const ProcessResult& second, Verdict& verdict) {
  for (const ProcessResult* result : {&first, &second}) {
    if (ended_badly(*result, verdict)) { return false; }
    const std::string fault = result->exit_code == 0 ? "" : fault_of_text(*result, "");
    if (!fault.empty()) {
      verdict.outcome = Outcome::kWrongText;
      verdict.detail = cat(fault, "; ", describe(*result));
      return false;
    }
  }
  return true;
}

/// Both may succeed where the second began when the first was done, and where the result is one file, which each
/// writes whole.
Verdict one_out(const Place& place, size_t which, Chance& chance) {
  const DisturbedRun& run = disturbed_runs()[which];
  const Undisturbed& whole = undisturbed()[which];
  const Sandbox sandbox(place.scratch / "try", place.fixture, run.needs);
  const double delay = chance.unit() * whole.seconds * 0.8;
  const auto [first, second] = run_both({run.command, run.command}, delay, sandbox, place.scratch);
  Verdict verdict{.subject = run.program};
  const auto end_with = [&](Outcome outcome, const std::string& detail) {
    verdict.outcome = outcome;
    verdict.detail = cat("the second ", delay, " s after the first: ", run.command, "; ", detail,
                         "; first: ", describe(first), "; second: ", describe(second));
    return verdict;
  };
  if (!both_end_well(first, second, verdict)) { return end_with(verdict.outcome, verdict.detail); }
  if (first.exit_code != 0 && second.exit_code != 0) { return end_with(Outcome::kWrongText, "both are refused"); }
  const Snapshot now = snapshot(sandbox.path());
  if (const std::string left = unfinished_file(now); !left.empty()) { return end_with(Outcome::kLeftOver, left); }
  const std::string difference = difference_of(part_of(now, run.results), part_of(whole.after, run.results));
  if (!difference.empty()) { return end_with(Outcome::kSilent, difference); }
  if (first.exit_code != 0 || second.exit_code != 0) { return end_with(Outcome::kRefused, ""); }
  const bool is_folder = run.command.ends_with("--out out");
  const bool at_once = delay + 0.03 < first.seconds;
  return end_with(is_folder && at_once ? Outcome::kSilent : Outcome::kSame, is_folder ? "both write into out" : "");
}

Verdict one_cache(const Place& place, bool tokens, Chance& chance) {
  const std::vector<std::string> needs = tokens ? std::vector<std::string>{"data.h5", "vqvae"}
                                                : std::vector<std::string>{"data.h5", "samples", "first_layers.npz"};
  const Sandbox sandbox(place.scratch / "try", place.fixture, needs);
  const auto command = [&](const std::string& out) {
    return tokens ? train_var_command(3, out) + " --tokens shared"
                  : cat(evaluate_command(), " --cache shared --json ", out, ".json");
  };
  const double delay = chance.unit() * 0.2;
  const auto [first, second] = run_both({command("a"), command("b")}, delay, sandbox, place.scratch);
  Verdict verdict{.subject = tokens ? "cache of tokens" : "cache of references"};
  if (!both_end_well(first, second, verdict)) { return verdict; }
  verdict.detail =
      cat(command("a"), "; the second ", delay, " s later; first: ", describe(first), "; second: ", describe(second));
  const Snapshot now = snapshot(sandbox.path());
  const std::string a = tokens ? "a/checkpoint.h5" : "a.json", b = tokens ? "b/checkpoint.h5" : "b.json";
  if (first.exit_code != 0 || second.exit_code != 0) {
    verdict.outcome = Outcome::kRefused;
  } else if (now.at(a) != now.at(b)) {
    verdict.outcome = Outcome::kSilent;
  }
  if (const std::string left = unfinished_file(now); !left.empty()) {
    verdict.outcome = Outcome::kLeftOver;
    verdict.detail = cat(left, "; ", verdict.detail);
  }
  return verdict;
}

}  // namespace

Verdict try_pair(const Place& place, int64_t index, Chance& chance) {
  const int64_t runs = static_cast<int64_t>(disturbed_runs().size()), which = index % (runs + 2);
  if (which >= runs) { return one_cache(place, which == runs, chance); }
  return one_out(place, static_cast<size_t>(which), chance);
}

}  // namespace terrace
