// One process at a time writes into a folder, or to a file that the user names.
#pragma once

#include <string>
#include <vector>

#include "data/files/descriptor.h"

namespace terrace {

/// Holds the lock of an output as long as it lives. The lock is of a hidden file, OUT/.run.lock of a folder and
/// .NAME.lock beside a file, which tells who holds it and is removed at the end. After kill -9 the file stays, but not
/// its lock: the next one takes it, and removes it at its end. Where there are no locks (some network file systems), or
/// the lock file cannot be opened although the folder can be written to (another user's file has its name), a note says
/// so, and the program goes on.
class OutputLock {
 public:
  /// Makes the folder where it is not there. Throws ConfigError where another process holds the lock:
  /// "runs/var is being written by train_var (process 1234, since 2026-11-30 21:40:12 UTC); ..."; IoError as
  /// make_folder, and where no more files can be opened.
  static OutputLock of_folder(const std::string& folder);
  /// `option` names the file, "" by place. Where it cannot be written no lock is taken: its writer says why.
  static OutputLock of_file(const std::string& file, const std::string& option);
  OutputLock(OutputLock&&) noexcept = default;
  OutputLock& operator=(OutputLock&&) = delete;
  /// Folders that were made are removed where they are empty.
  ~OutputLock();

  /// The folder stays, empty or not.
  void keep_folder() { made_.clear(); }

 private:
  OutputLock() = default;
  bool take(const std::string& path, const std::string& output, const std::string& way_out);
  [[noreturn]] void refuse(const std::string& output, const std::string& way_out);

  std::string path_;
  std::vector<std::string> made_;  // the outer folders first
  Descriptor file_;
};

}  // namespace terrace
