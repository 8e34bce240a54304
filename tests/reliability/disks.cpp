// Disks: full from some call on, without permission to write, failing to read; and a small file system that fills.
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sched.h>

#include "tensor/base/error.h"
#include "tests/reliability/judge.h"
#include "tests/reliability/runs.h"

namespace terrace {
namespace {

/// A run that may have failed: refused in one line that holds `reason`, or done in spite of it, and nothing unfinished
/// stays. Then it goes on.
Verdict judge(size_t which, const ProcessResult& result, const Sandbox& sandbox, const std::string& what) {
  const DisturbedRun& run = disturbed_runs()[which];
  Verdict verdict{.subject = run.program, .detail = what};
  if (ended_badly(result, verdict)) { return {run.program, verdict.outcome, cat(what, "; ", verdict.detail)}; }
  if (const std::string left = unfinished_file(snapshot(sandbox.path())); !left.empty()) {
    return {run.program, Outcome::kLeftOver, cat(what, "; ", left, "; ", describe(result))};
  }
  if (result.exit_code != 0) {
    const std::string fault = fault_of_text(result, "");
    if (!fault.empty()) { return {run.program, Outcome::kWrongText, cat(what, "; ", fault, "; ", describe(result))}; }
    verdict = judge_continuation(which, sandbox, what);
    if (verdict.outcome == Outcome::kSame) { verdict.outcome = Outcome::kRefused; }
    return verdict;
  }
  // It came to its end: then by its results, whatever a disk refused it.
  const Snapshot expected = part_of(undisturbed()[which].after, run.results);
  const std::string difference = difference_of(part_of(snapshot(sandbox.path()), run.results), expected);
  if (!difference.empty() && remarks_of(result).empty()) {
    return {run.program, Outcome::kSilent, cat(what, "; ", difference, "; ", describe(result))};
  }
  return {run.program, difference.empty() ? Outcome::kSame : Outcome::kRemade, what};
}

/// In a mount namespace of its own, where a file system of a few pages lies at the sandbox.
bool mount_small_disk(const std::string& folder, int64_t bytes) {
  if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) { return false; }
  return ::mount("tmpfs", folder.c_str(), "tmpfs", 0, cat("size=", bytes).c_str()) == 0;
}

Verdict on_small_disk(const Place& place, size_t which, Chance& chance) {
  const DisturbedRun& run = disturbed_runs()[which];
  const std::filesystem::path folder = place.scratch / "small";
  std::filesystem::create_directories(folder);
  int64_t needed = 0;
  {
    const Sandbox inputs(folder / "try", place.fixture, run.needs);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(inputs.path())) {
      needed += entry.is_regular_file() ? (static_cast<int64_t>(entry.file_size()) / 4096 + 2) * 4096 : 4096;
    }
  }
  const int64_t size = needed + 4096 * (2 + chance.below(200));
  if (!mount_small_disk(folder.string(), size)) {
    return {run.program, Outcome::kSkipped, "no file system may be mounted here"};
  }
  Verdict verdict{run.program, Outcome::kSkipped, "too small for its inputs"};
  try {
    const Sandbox sandbox(folder / "try", place.fixture, run.needs);
    const ProcessResult result = run_process(run.command, sandbox.path());
    const std::string what = cat("a disk of ", size, " bytes, ", needed, " of them for the inputs");
    ::mount("none", folder.c_str(), nullptr, MS_REMOUNT, "size=1g");
    if (!place.keep.empty()) { sandbox.keep(place.keep); }
    verdict = judge(which, result, sandbox, what);
  } catch (const std::filesystem::filesystem_error&) {}
  ::umount2(folder.c_str(), MNT_DETACH);
  return verdict;
}

}  // namespace

Verdict try_disk(const Place& place, int64_t index, Chance& chance) {
  const size_t runs = disturbed_runs().size(), which = static_cast<size_t>(index) % runs;
  const DisturbedRun& run = disturbed_runs()[which];
  const Undisturbed& whole = undisturbed()[which];
  const int64_t kind = (index / static_cast<int64_t>(runs)) % 4;
  if (kind == 3) { return on_small_disk(place, which, chance); }
  const char* faults[] = {"full:change", "readonly:create", "broken:read"};
  const int64_t calls[] = {whole.calls.changes, whole.calls.created, whole.calls.reads};
  const int64_t at = 1 + chance.below(calls[kind]);
  const Sandbox sandbox(place.scratch / "try", place.fixture, run.needs);
  if (!place.keep.empty()) { sandbox.keep(place.keep); }
  const ProcessResult result = run_process(
      run.command, sandbox.path(), with_fault(faults[kind], at, sandbox.path().string(), place.scratch / "counter"));
  return judge(which, result, sandbox, cat(faults[kind], " from call ", at, " of ", calls[kind], ": ", run.command));
}

}  // namespace terrace
