// A disk that runs full, without one: the process's limit on the size of files.
#pragma once

#include <sys/resource.h>

#include <csignal>

namespace terrace {

/// While it lives, no file of this process grows beyond `bytes`: writing fails with EFBIG, as with ENOSPC elsewhere.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    signal_before_ = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, signal_before_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_{};
  void (*signal_before_)(int);
};

}  // namespace terrace
