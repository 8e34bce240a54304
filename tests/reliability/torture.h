// Runs the tries of the classes on several processes and counts their verdicts.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/reliability/attack.h"

namespace terrace {

struct TortureOptions {
  double seconds = 0;  // for all classes together; 0: the tries of the tests
  uint64_t seed = 1;
  std::vector<std::string> classes = {};  // all
  std::string only_class = {};            // with `only`: one try, whose folder is kept
  int64_t only = -1;
  int jobs = 2;
  std::string failures = {};  // folder for the folders of failed tries; "": none is kept
  bool quiet = false;         // no progress
};

/// A row of the table.
struct TortureRow {
  int64_t count[kOutcomes] = {};
  double seconds = 0;  // of all tries, one after another
  int64_t tries() const;
  int64_t failures() const;
};

struct TortureFailure {
  std::string attack;
  int64_t index = 0;
  Verdict verdict;
  /// "SILENT: dataset: torture --seed 1 --only flips:7: ...".
  std::string line(uint64_t seed) const;
};

struct TortureTable {
  std::vector<std::pair<std::string, std::map<std::string, TortureRow>>> classes;  // by subject
  std::vector<TortureFailure> failures;
  bool interrupted = false;
  int64_t failed() const;
  std::string markdown() const;
};

/// Throws Error where the programs fail without harm, or a class is unknown.
TortureTable torture(const TortureOptions& options);

/// Asks for an end after the tries that are under way; a signal's handler may call it.
void stop_torture();

}  // namespace terrace
