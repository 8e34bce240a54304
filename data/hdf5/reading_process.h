// The process that reads a file for a RemoteReader, as its parent sees it.
#pragma once

#include <sys/types.h>

#include <string>

namespace terrace::hdf5 {

/// A fork of this process, the socket to it, and memory that both share. Ends with its owner: no process and no
/// descriptor is left.
class ReadingProcess {
 public:
  /// Forks: the child serves `path` (remote_server.h). Throws IoError where there is no room for another process.
  explicit ReadingProcess(const std::string& path);
  ~ReadingProcess();
  ReadingProcess(const ReadingProcess&) = delete;
  ReadingProcess& operator=(const ReadingProcess&) = delete;

  int socket() const { return socket_; }
  const char* shared() const { return shared_; }
  /// False in a fork of the process that started it, which has to start one of its own.
  bool is_own() const;

  enum class Event { kBytes, kEnd, kStuck };
  /// Waits for bytes from it, for its end, or until it is plain that it waits for ever. Calls interruption_point() once
  /// a second, which may throw.
  Event wait();
  /// Waits for its end, and gives the signal that ended it, 0 without one.
  int ended_by();

 private:
  pid_t process_ = -1;  // -1: it has ended and was waited for
  pid_t owner_ = -1;
  int socket_ = -1;
  char* shared_ = nullptr;
};

}  // namespace terrace::hdf5
