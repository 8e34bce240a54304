// What a class of attack is: a function of the index of a try, whose verdict goes into the table.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/reliability/process.h"
#include "tests/reliability/sandbox.h"

namespace terrace {

/// How a try ended. The columns of the table; those from kSilent to kWrongText are failures.
enum class Outcome : uint8_t {
  kRefused,    // exit 2 and one line that says why
  kRemade,     // noticed, said in a note, made again: the result is that of the unharmed run
  kSame,       // the result is that of the unharmed run
  kUnchecked,  // another result, from a file whose format has no checksum: not promised
  kSilent,     // another result, exit 0
  kCrash,      // a signal that was not sent, or an exit code other than 0, 2 and 130
  kHang,       // longer than 20 seconds, or 2 seconds after a signal
  kLeftOver,   // files or processes stay behind
  kWrongText,  // refused, but not by one line in Terrace's words that names the file
  kSkipped,    // this machine does not allow the try
};
inline constexpr int kOutcomes = 10;
const char* name_of(Outcome outcome);
inline bool is_failure(Outcome outcome) { return outcome >= Outcome::kSilent && outcome <= Outcome::kWrongText; }

struct Verdict {
  std::string subject;  // the row of the table: kind of file, or program
  Outcome outcome = Outcome::kSame;
  std::string detail = {};  // of a failure
};

/// Numbers that are a function of (seed, class, index of the try).
class Chance {
 public:
  Chance(uint64_t seed, const std::string& attack, int64_t index);
  uint64_t bits();
  /// Uniform in [0, count); 0 where count is 0.
  int64_t below(int64_t count);
  double unit() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  template <class T>
  const T& of(const std::vector<T>& values) {
    return values[static_cast<size_t>(below(static_cast<int64_t>(values.size())))];
  }

 private:
  uint64_t state_;
};

/// Where things are.
struct Place {
  std::filesystem::path fixture;  // read only
  std::filesystem::path scratch;  // of one worker
  std::filesystem::path keep;     // a failed try's folder is copied to here; empty: it is not
  bool twice = true;              // what must be the same in every run is found by two of them, not by one
};

struct AttackClass {
  const char* name;
  const char* about;
  double share;       // of the time of a long run
  int64_t minimum;    // tries of a long run, however long they take
  int64_t short_run;  // tries of the tests
  /// Once, before any try: runs without harm, by which tries are judged. Throws Error where these fail.
  void (*prepare)(const Place& place);
  Verdict (*attempt)(const Place& place, int64_t index, Chance& chance);
};

/// The table of classes, in the order in which they run.
const std::vector<AttackClass>& attack_classes();

// --- A class is a file; its two functions are declared here and stand in a line of attack_classes() ---------------

void prepare_flips(const Place& place);
Verdict try_flip(const Place& place, int64_t index, Chance& chance);
Verdict try_cut(const Place& place, int64_t index, Chance& chance);
void prepare_metadata(const Place& place);
Verdict try_metadata(const Place& place, int64_t index, Chance& chance);
void prepare_runs(const Place& place);
Verdict try_kill(const Place& place, int64_t index, Chance& chance);
Verdict try_disk(const Place& place, int64_t index, Chance& chance);
Verdict try_signal(const Place& place, int64_t index, Chance& chance);
Verdict try_limit(const Place& place, int64_t index, Chance& chance);
void prepare_commands(const Place& place);
Verdict try_command(const Place& place, int64_t index, Chance& chance);
Verdict try_pair(const Place& place, int64_t index, Chance& chance);

}  // namespace terrace
