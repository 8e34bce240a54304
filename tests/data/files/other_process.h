// A second process of the test program that does something and stays, or is killed in the midst of it.
#pragma once

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/files/atomic_file.h"
#include "tensor/base/error.h"
#include "tensor/base/names.h"

namespace terrace {

/// A fork of this process that has run `begin` when the constructor returns, and waits for the end.
class OtherProcess {
 public:
  explicit OtherProcess(const std::function<void()>& begin) {
    int ready[2];
    if (pipe(ready) != 0) { throw IoError("tests: no pipe"); }
    process_ = fork();
    if (process_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      begin();
      if (write(ready[1], "x", 1) != 1) { _exit(1); }
      while (true) { pause(); }
    }
    char byte;
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) { throw IoError("tests: the other process ended"); }
    close(ready[0]);
  }
  ~OtherProcess() { kill(); }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;

  /// As kill -9 does.
  void kill() {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      waitpid(process_, nullptr, 0);
    }
    process_ = 0;
  }
  pid_t process() const { return process_; }

 private:
  pid_t process_ = 0;
};

/// What a process that is killed while it writes this file leaves.
inline void leave_partial_file(const std::string& path) {
  OtherProcess([&] {
    auto* file = new AtomicFile(path);  // never destroyed
    file->write("half");
  });
}

/// "[a, b]": what is in a folder.
inline std::string names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return "[" + join_names(names, ", ") + "]";
}

}  // namespace terrace
