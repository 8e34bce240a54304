#include "experiments/cli/address_space.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "tensor/base/error.h"
#include "tensor/base/notes.h"

namespace terrace {
namespace {

constexpr int64_t kBlasBuffer = int64_t{128} << 20;  // of OpenBLAS 0.3.21 as Debian builds it, measured with strace
constexpr int64_t kBesides = int64_t{64} << 20;      // for the program's own data, at least
constexpr const char* kThreadsVariable = "OMP_NUM_THREADS";

/// A number of /proc/self/statm, in bytes; 0 where the system does not tell. Without the C++ library, which is not
/// ready before main's constructors.
int64_t statm(int field) {
  char text[256] = {};
  const int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (file < 0) { return 0; }
  const ssize_t size = read(file, text, sizeof text - 1);
  close(file);
  const char* at = text;
  for (int i = 0; i < field && size > 0 && at != nullptr; ++i) {
    at = std::strchr(at, ' ');
    if (at != nullptr) { ++at; }
  }
  return size > 0 && at != nullptr ? std::strtoll(at, nullptr, 10) * sysconf(_SC_PAGESIZE) : 0;
}

int64_t stack_size() {
  rlimit limit{};
  const bool limited = getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  return limited ? static_cast<int64_t>(limit.rlim_cur) : int64_t{8} << 20;
}

int64_t left_when_loaded = 0;
int fitting_threads = INT_MAX;  // where the limits leave fewer than the cores

int allowed_cores() {
  cpu_set_t cores;
  return sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
}

/// Before the constructors of OpenBLAS and of OpenMP's runtime, which read the environment.
void before_libraries(int count, char** arguments, char**) {
  const int cores = allowed_cores(), fitting = threads_in_address_space(cores);
  if (fitting == cores) { return; }
  if (fitting > 0) {
    left_when_loaded = address_space_left();
    fitting_threads = fitting;
    const char* asked = std::getenv(kThreadsVariable);
    if (asked != nullptr && std::atoi(asked) > 0 && std::atoi(asked) <= fitting) { return; }
    char number[16];
    std::snprintf(number, sizeof number, "%d", fitting);
    setenv(kThreadsVariable, number, 1);
    return;
  }
  const char* path = count > 0 ? arguments[0] : "terrace";
  const char* slash = std::strrchr(path, '/');
  char line[256];
  const int size = std::snprintf(
      line, sizeof line,
      "%s: error: the limit of address space (ulimit -v or -d) leaves %lld MB; one thread needs %lld MB\n",
      slash != nullptr ? slash + 1 : path, static_cast<long long>(address_space_left() / 1000000),
      static_cast<long long>((address_space_of_thread() + kBesides) / 1000000));
  (void)!write(STDERR_FILENO, line, static_cast<size_t>(std::min<int>(size, sizeof line - 1)));
  _exit(2);
}

__attribute__((section(".preinit_array"), used)) void (*const kBeforeLibraries)(int, char**, char**) = before_libraries;

}  // namespace

int64_t address_space_left() {
  constexpr int kSize = 0, kData = 5;
  int64_t least = -1;
  for (const auto& [kind, field] : {std::pair(RLIMIT_AS, kSize), std::pair(RLIMIT_DATA, kData)}) {
    rlimit limit{};
    if (getrlimit(kind, &limit) != 0 || limit.rlim_cur > INT64_MAX) { continue; }
    const int64_t left = std::max<int64_t>(0, static_cast<int64_t>(limit.rlim_cur) - statm(field));
    least = least < 0 ? left : std::min(least, left);
  }
  return least;
}

int64_t address_space_of_thread() { return 2 * kBlasBuffer + stack_size(); }

int threads_in_address_space(int wanted) {
  const int64_t left = address_space_left();
  if (left < 0) { return wanted; }
  return static_cast<int>(std::clamp<int64_t>((left - kBesides) / address_space_of_thread(), 0, wanted));
}

int threads_that_fit(int wanted) {
  if (wanted <= fitting_threads) { return wanted; }
  note(cat("the limit of address space (ulimit -v or -d) leaves ", left_when_loaded / 1000000, " MB, a thread needs ",
           address_space_of_thread() / 1000000, " MB: computing with ", fitting_threads,
           fitting_threads == 1 ? " thread" : " threads"));
  return fitting_threads;
}

int threads_that_start(int wanted) {
  std::mutex guard;
  std::condition_variable changed;
  bool end = false;
  std::vector<std::thread> threads;
  try {
    while (static_cast<int>(threads.size()) < wanted - 1) {
      threads.emplace_back([&] {
        std::unique_lock lock(guard);
        changed.wait(lock, [&] { return end; });
      });
    }
  } catch (const std::system_error&) {  // there are no more
  } catch (const std::bad_alloc&) {     // nor is there memory for one
  }
  {
    const std::lock_guard lock(guard);
    end = true;
  }
  changed.notify_all();
  for (std::thread& thread : threads) { thread.join(); }
  return 1 + static_cast<int>(threads.size());
}

}  // namespace terrace
