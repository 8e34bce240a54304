// Where long computations may end because the user asked for it: between ops, and between rounds of loops.
//
// A program enters a check that throws (experiments/cli/program.h: Interrupted, after Ctrl-C). Every op of a graph and
// every node of its backward pass calls it, so that a training step of minutes ends between two ops; so do loops of the
// library that are no ops. Without a check, as in tests, nothing happens.
#pragma once

namespace terrace {

/// Enters what interruption_point() calls on this thread; null for nothing.
void set_interruption_check(void (*check)());

/// Calls the check of this thread, which may throw. Costs a load and a branch.
void interruption_point();

/// While it lives, this thread's interruption_point() does nothing: for what must be done in whole or not at all, as
/// the update of weights and optimizer, and for what is written after an interruption.
class UninterruptedScope {
 public:
  UninterruptedScope();
  ~UninterruptedScope();
  UninterruptedScope(const UninterruptedScope&) = delete;
  UninterruptedScope& operator=(const UninterruptedScope&) = delete;

 private:
  void (*before_)();
};

}  // namespace terrace
