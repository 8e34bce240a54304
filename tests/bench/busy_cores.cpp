// Programs on cores that other processes use: with one thread, with one for each core, and with more threads than
// cores, on an idle machine and beside as many busy loops as there are cores. Each on the same data; whole programs are
// timed, start-up included. The peer is one thread: two that wait for each other on two busy cores can be slower.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "data/files/atomic_file.h"
#include "data/hdf5/file.h"
#include "experiments/cli/options.h"
#include "experiments/cli/program.h"
#include "experiments/cli/timing.h"
#include "tensor/base/error.h"
#include "tensor/device/cores.h"
#include "tensor/device/device.h"
#include "tests/busy_loops.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

struct Case {
  const char* program;
  const char* arguments;  // but --threads and --out
};

// In the order in which they need each other's results.
constexpr Case kCases[] = {
    {"train_vqvae", "--data p.h5 --steps 40 --evaluate-images 8 --grid-images 0"},
    {"train_var", "--data p.h5 --tokenizer train_vqvae --tokens tokens --steps 20 --evaluate-images 8 --grid-images 0"},
    {"sample", "--tokenizer train_vqvae --checkpoint train_var --count 12"},
    {"pe_study",
     "p.h5 --tokenizer-steps 12 --steps 10 --train-images 64 --held-out-images 32 --samples 4 --frechet-images 32"}};

class Bench {
 public:
  Bench(fs::path programs, fs::path folder) : programs_(std::move(programs)), folder_(std::move(folder)) {}
  ~Bench() { fs::remove_all(folder_); }

  /// Runs a program in the folder and gives its seconds. Throws Error where it fails.
  double run(const std::string& command) const {
    const std::string whole =
        cat("cd '", folder_.string(), "' && '", (programs_ / "").string(), command, " > log 2>&1");
    const double seconds = seconds_of([&] {
      if (std::system(whole.c_str()) == 0) { return; }
      std::printf("%s\n", read_file((folder_ / "log").string()).c_str());
      throw Error(cat(command.substr(0, command.find('\'')), " failed"));
    });
    check_interrupt();
    return seconds;
  }
  double run(const Case& c, int threads, const std::string& out) const {
    fs::remove_all(folder_ / out);
    return run(cat(c.program, "' ", c.arguments, " --threads ", threads, " --out ", out));
  }

  /// Whether one thread and several train the same weights.
  bool same_weights(const std::string& a, const std::string& b) const {
    const Hdf5File left = Hdf5File::open((folder_ / a / "checkpoint.h5").string());
    const Hdf5File right = Hdf5File::open((folder_ / b / "checkpoint.h5").string());
    int compared = 0;
    for (const std::string& name : left.walk()) {
      if (name.rfind("model/", 0) != 0) { continue; }
      if (left.read(name).to_vector<double>() != right.read(name).to_vector<double>()) { return false; }
      ++compared;
    }
    return compared > 0;
  }

 private:
  fs::path programs_, folder_;
};

bool validate(const Bench& bench) {
  bench.run("prepare_data' procedural --count 256 --test-count 64 --out p.h5");
  for (const Case& c : kCases) {
    bench.run(c, 1, c.program);
    if (c.program != std::string("train_vqvae") && c.program != std::string("train_var")) { continue; }
    bench.run(c, 0, "all");
    if (!bench.same_weights(c.program, "all")) {
      std::printf("%-12s WRONG: all threads train other weights than one\n", c.program);
      return false;
    }
  }
  return true;
}

void compare(const Bench& bench, const Case& c, int busy, int runs) {
  const int counts[] = {1, 0, 4 * available_cores()};
  std::vector<double> seconds[3];
  {
    const BusyLoops loops(busy);
    for (int round = 0; round < runs; ++round) {
      for (int k = 0; k < 3; ++k) { seconds[k].push_back(bench.run(c, counts[k], "timed")); }
    }
  }
  const double one = median(seconds[0]), all = median(seconds[1]), more = median(seconds[2]);
  std::printf("%-12s %2d busy | 1 thread %6.2f s | all cores %6.2f s, %.2f times as fast | %d threads %6.2f s, %.2f\n",
              c.program, busy, one, all, one / all, counts[2], more, one / more);
  std::fflush(stdout);
}

void run(int argc, char** argv) {
  int64_t runs = 3, busy = available_cores();
  Options options("bench_busy_cores", "Times programs beside busy processes, with one thread and with several.");
  options.add("runs", runs, "runs of each, of which the median counts").at_least(1);
  options.add("busy", busy, "busy loops beside").default_text("one for each core").at_least(0);
  options.parse(argc, argv);
  std::printf("whole programs, %s, %d cores, median of %d runs in turn\n", cpu_model().c_str(), available_cores(),
              static_cast<int>(runs));
  std::string folder = (fs::temp_directory_path() / "terrace_busy_XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) { throw IoError(cat("cannot make a folder ", folder)); }
  const Bench bench(fs::read_symlink("/proc/self/exe").parent_path(), folder);
  if (!validate(bench)) { throw EarlyExit{1}; }
  for (const Case& c : kCases) {
    compare(bench, c, 0, static_cast<int>(runs));
    compare(bench, c, static_cast<int>(busy), static_cast<int>(runs));
  }
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
