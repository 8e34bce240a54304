// Runs of the programs that are disturbed: each has a way to go on, after which its results must be those of a run that
// nothing disturbed.
#pragma once

#include <string>
#include <vector>

#include "tests/reliability/attack.h"
#include "tests/reliability/faults.h"

namespace terrace {

struct DisturbedRun {
  std::string program;
  std::vector<std::string> needs;  // of the fixture
  std::string command;
  std::string begun;                 // a file whose presence tells that there is something to go on from
  std::string resume;                // added to the command where `begun` is there
  std::string again;                 // added where it is not
  std::vector<std::string> results;  // must be the same bytes in the end
};
const std::vector<DisturbedRun>& disturbed_runs();

/// A run without harm.
struct Undisturbed {
  Snapshot before, after;
  double seconds = 0;
  CallCounts calls;
};
/// By prepare_runs(), in the order of disturbed_runs().
const std::vector<Undisturbed>& undisturbed();

/// Goes on with a disturbed run: it must end with the results of the undisturbed one and leave nothing else.
Verdict judge_continuation(size_t run, const Sandbox& sandbox, const std::string& disturbance);
/// The files that were there before are as they were: else a verdict.
bool inputs_are_whole(size_t run, const Sandbox& sandbox, Verdict& verdict);

}  // namespace terrace
