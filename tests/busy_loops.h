// Load beside what is tested or timed.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

namespace terrace {

/// Processes that do nothing but use a core each, while it lives. They end by themselves where this process is killed.
class BusyLoops {
 public:
  explicit BusyLoops(int count) {
    const pid_t parent = getpid();
    for (int i = 0; i < count; ++i) {
      const pid_t child = fork();
      if (child == 0) {
        while (getppid() == parent) {}
        _exit(0);
      }
      if (child > 0) { children_.push_back(child); }
    }
  }
  ~BusyLoops() {
    for (const pid_t child : children_) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
  }
  BusyLoops(const BusyLoops&) = delete;
  BusyLoops& operator=(const BusyLoops&) = delete;

 private:
  std::vector<pid_t> children_;
};

}  // namespace terrace
