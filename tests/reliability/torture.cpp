#include "tests/reliability/torture.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <iomanip>
#include <new>
#include <sstream>

#include "data/files/descriptor.h"
#include "tensor/base/error.h"
#include "tensor/base/names.h"
#include "tests/reliability/fixture.h"
#include "tests/support.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// What workers and the parent share in memory.
struct Shared {
  std::atomic<bool> stop{false};
  std::atomic<int64_t> next{0};
};
Shared* g_shared = nullptr;

/// A verdict on its way through a pipe: at most PIPE_BUF bytes, so that it is written whole.
struct Message {
  int64_t index = 0;
  double seconds = 0;
  Outcome outcome = Outcome::kSame;
  char subject[64] = {};
  char detail[1500] = {};
};
static_assert(sizeof(Message) <= 4096);

template <size_t n>
void copy_text(char (&to)[n], const std::string& text) {
  std::snprintf(to, n, "%s", text.c_str());
}

/// Throws Error where the system starts no process; the workers that there are end.
pid_t fork_process() {
  const pid_t pid = ::fork();
  if (pid >= 0) { return pid; }
  const int reason = errno;
  g_shared->stop = true;
  throw Error(cat("torture: no process can be started: ", std::strerror(reason)));
}

/// The processes that try; waited for wherever the parent leaves.
struct Workers {
  std::vector<pid_t> processes;
  ~Workers() {
    for (const pid_t pid : processes) { ::waitpid(pid, nullptr, 0); }
  }
};

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Verdict attempt(const AttackClass& attack, const Place& place, uint64_t seed, int64_t index) {
  try {
    Chance chance(seed, attack.name, index);
    return attack.attempt(place, index, chance);
  } catch (const std::exception& e) {
    return {.subject = "the harness", .outcome = Outcome::kCrash, .detail = e.what()};
  }
}

/// How long a class goes on.
struct Quota {
  double seconds = 0;
  int64_t tries = 0;  // at least these; at most, where there are no seconds
};

/// One class: its workers, their messages, the progress.
class ClassRun {
 public:
  ClassRun(const AttackClass& attack, const TortureOptions& options, const fs::path& folder, Quota quota)
      : attack_(attack), options_(options), folder_(folder), quota_(quota) {}

  void run(TortureTable& table) {
    Workers workers;  // goes last: without a reader of the pipe they end
    int ends[2];
    // The programs under test must not hold its end: one that stays would keep the class from ending.
    if (::pipe2(ends, O_CLOEXEC) != 0) { throw Error("torture: no pipe"); }
    Descriptor reading(ends[0]), writing(ends[1]);
    g_shared->next = 0;
    std::fflush(stdout);
    for (int i = 0; i < options_.jobs; ++i) {
      const pid_t pid = fork_process();
      if (pid == 0) {
        reading.close();
        work(i, writing.number());
        ::_exit(0);
      }
      workers.processes.push_back(pid);
    }
    writing.close();
    auto& rows = table.classes.emplace_back(attack_.name, std::map<std::string, TortureRow>{}).second;
    for (Message message; ::read(reading.number(), &message, sizeof(message)) == sizeof(message);) {
      count(message, rows, table);
    }
    if (!options_.quiet) { show_progress(true); }
  }

 private:
  void work(int worker, int pipe) const {
    ::setpgid(0, 0);  // Ctrl-C is for the parent, which lets tries end
    adopt_orphans();
    const Place place{.fixture = folder_ / "fixture", .scratch = folder_ / cat("worker", worker), .keep = {}};
    while (!g_shared->stop) {
      const int64_t index = g_shared->next++;
      if (index >= quota_.tries && since(start_) >= quota_.seconds) { return; }
      Message message{.index = index};
      const auto start = Clock::now();
      const Verdict verdict = attempt(attack_, place, options_.seed, index);
      message.seconds = since(start);
      message.outcome = verdict.outcome;
      copy_text(message.subject, verdict.subject);
      copy_text(message.detail, verdict.detail);
      if (::write(pipe, &message, sizeof(message)) != sizeof(message)) { return; }
    }
  }

  void count(const Message& message, std::map<std::string, TortureRow>& rows, TortureTable& table) {
    TortureRow& row = rows[message.subject];
    ++row.count[static_cast<int>(message.outcome)];
    row.seconds += message.seconds;
    ++done_;
    if (is_failure(message.outcome)) {
      ++failed_;
      table.failures.push_back(
          {attack_.name, message.index, {message.subject, message.outcome, std::string(message.detail)}});
      if (!options_.quiet) { std::printf("%s\n", table.failures.back().line(options_.seed).c_str()); }
      std::fflush(stdout);
      keep(message.index);
    }
    if (!options_.quiet && since(shown_) > 5) { show_progress(false); }
  }

  /// Tries it once more in a folder of its own, from which a copy is taken; in a process of its own, whose only
  /// children are those of the try.
  void keep(int64_t index) const {
    if (options_.failures.empty() || failed_ > 20) { return; }
    const pid_t pid = fork_process();
    if (pid > 0) { ::waitpid(pid, nullptr, 0); }
    if (pid != 0) { return; }
    adopt_orphans();
    const Place place{.fixture = folder_ / "fixture",
                      .scratch = folder_ / "kept",
                      .keep = fs::path(options_.failures) / cat(attack_.name, "-", index)};
    attempt(attack_, place, options_.seed, index);
    ::_exit(0);
  }

  void show_progress(bool ended) {
    shown_ = Clock::now();
    const double seconds = since(start_), rate = static_cast<double>(done_) / std::max(seconds, 1e-3);
    const double left = std::max(quota_.seconds - seconds, static_cast<double>(quota_.tries - done_) / rate);
    const std::time_t end = std::time(nullptr) + static_cast<std::time_t>(ended ? 0 : std::max(left, 0.0));
    char clock[16];
    std::strftime(clock, sizeof(clock), "%H:%M:%S", std::localtime(&end));
    std::printf("%s: %lld tries, %.1f a second, %lld failures, %s %s\n", attack_.name, static_cast<long long>(done_),
                rate, static_cast<long long>(failed_), ended ? "ended" : "until", clock);
    std::fflush(stdout);
  }

  const AttackClass& attack_;
  const TortureOptions& options_;
  fs::path folder_;
  Quota quota_;
  Clock::time_point start_ = Clock::now(), shown_ = start_;
  int64_t done_ = 0, failed_ = 0;
};

std::vector<const AttackClass*> chosen_classes(const TortureOptions& options) {
  std::vector<const AttackClass*> chosen;
  std::vector<std::string> wanted = options.classes, known;
  if (!options.only_class.empty()) { wanted = {options.only_class}; }
  for (const AttackClass& attack : attack_classes()) {
    known.emplace_back(attack.name);
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), attack.name) != wanted.end()) {
      chosen.push_back(&attack);
    }
  }
  for (const std::string& name : wanted) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw Error(cat("torture: no class ", name, "; there are ", join_names(known)));
    }
  }
  return chosen;
}

/// On a file system in memory where there is one with room: every commit of a file waits for the disk.
fs::path new_folder() {
  const bool memory = std::getenv("TMPDIR") == nullptr && fs::exists("/dev/shm") &&
                      fs::space("/dev/shm").available > (uintmax_t{1} << 30) && ::access("/dev/shm", W_OK) == 0;
  std::string pattern =
      ((memory ? fs::path("/dev/shm") : fs::temp_directory_path()) / "terrace_torture_XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) { throw Error(cat("torture: cannot make ", pattern)); }
  return pattern;
}

struct RemovedFolder {
  fs::path path = new_folder();
  ~RemovedFolder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

}  // namespace

Chance::Chance(uint64_t seed, const std::string& attack, int64_t index) : state_(seed * 0x9e3779b97f4a7c15ULL) {
  for (const char c : attack) { state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL; }
  state_ += static_cast<uint64_t>(index) * 0xd1342543de82ef95ULL;
  bits();
}

/// SplitMix64 (Steele, Lea and Flood 2014).
uint64_t Chance::bits() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

int64_t Chance::below(int64_t count) {
  return count <= 0 ? 0 : static_cast<int64_t>(bits() % static_cast<uint64_t>(count));
}

int64_t TortureRow::tries() const {
  int64_t sum = 0;
  for (const int64_t n : count) { sum += n; }
  return sum;
}

int64_t TortureRow::failures() const {
  int64_t sum = 0;
  for (int i = 0; i < kOutcomes; ++i) { sum += is_failure(static_cast<Outcome>(i)) ? count[i] : 0; }
  return sum;
}

std::string TortureFailure::line(uint64_t seed) const {
  return cat(name_of(verdict.outcome), ": ", verdict.subject, ": torture --seed ", seed, " --only ", attack, ":", index,
             ": ", verdict.detail);
}

int64_t TortureTable::failed() const { return static_cast<int64_t>(failures.size()); }

std::string TortureTable::markdown() const {
  std::ostringstream text;
  text << "| class | file or program | tries |";
  for (int i = 0; i < kOutcomes; ++i) { text << " " << name_of(static_cast<Outcome>(i)) << " |"; }
  text << " seconds |\n|---|---|---|";
  for (int i = 0; i <= kOutcomes; ++i) { text << "---|"; }
  text << "\n" << std::fixed << std::setprecision(0);
  const auto line = [&](const std::string& attack, const std::string& subject, const TortureRow& row) {
    text << "| " << attack << " | " << subject << " | " << row.tries() << " |";
    for (const int64_t n : row.count) { text << " " << n << " |"; }
    text << " " << row.seconds << " |\n";
  };
  TortureRow all;
  for (const auto& [attack, rows] : classes) {
    for (const auto& [subject, row] : rows) {
      line(attack, subject, row);
      for (int i = 0; i < kOutcomes; ++i) { all.count[i] += row.count[i]; }
      all.seconds += row.seconds;
    }
  }
  line("all", "", all);
  return text.str();
}

void stop_torture() {
  if (g_shared != nullptr) { g_shared->stop = true; }
}

TortureTable torture(const TortureOptions& options) {
  const std::vector<const AttackClass*> chosen = chosen_classes(options);
  const RemovedFolder folder;
  void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) { throw Error("torture: no shared memory"); }
  g_shared = new (memory) Shared;
  const bool is_long = options.seconds > 0;
  const Place place{
      .fixture = folder.path / "fixture", .scratch = folder.path / "prepare", .keep = {}, .twice = is_long};
  fs::create_directories(place.fixture / "tmp");
  make_fixture(place.fixture);
  fs::remove_all(place.fixture / "tmp");
  double shares = 0;
  for (const AttackClass* attack : chosen) { shares += attack->share; }
  TortureTable table;
  for (const AttackClass* attack : chosen) {
    if (g_shared->stop) { break; }
    if (attack->prepare != nullptr) { attack->prepare(place); }
    if (options.only >= 0) {
      const Place kept{.fixture = place.fixture, .scratch = folder.path / "only", .keep = options.failures};
      const Verdict verdict = attempt(*attack, kept, options.seed, options.only);
      std::printf("%s: %s: %s\n", name_of(verdict.outcome), verdict.subject.c_str(), verdict.detail.c_str());
      TortureRow row;
      ++row.count[static_cast<int>(verdict.outcome)];
      table.classes.push_back({attack->name, {{verdict.subject, row}}});
      if (is_failure(verdict.outcome)) { table.failures.push_back({attack->name, options.only, verdict}); }
      continue;
    }
    ClassRun(*attack, options, folder.path,
             {is_long ? options.seconds * attack->share / shares : 0, is_long ? attack->minimum : attack->short_run})
        .run(table);
  }
  table.interrupted = g_shared->stop;
  g_shared = nullptr;
  ::munmap(memory, sizeof(Shared));
  return table;
}

}  // namespace terrace
