#include "experiments/cli/output_lock.h"

#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "data/files/file_lock.h"
#include "data/files/positional_io.h"
#include "experiments/cli/run_record.h"
#include "tensor/base/error.h"
#include "tensor/base/notes.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

std::string host() {
  utsname system = {};
  uname(&system);
  return system.nodename;
}

/// "HOST\ntrain_var (process 1234, since 2026-11-30 21:40:12 UTC)\n"
std::string holder_text() {
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  char since[32];
  std::strftime(since, sizeof since, "%Y-%m-%d %H:%M:%S UTC", &utc);
  return cat(host(), "\n", program_invocation_short_name, " (process ", ::getpid(), ", since ", since, ")\n");
}

/// Who wrote holder_text() into this file; it may not have come so far yet.
std::string holder_in(int descriptor) {
  constexpr int kTries = 20;
  constexpr useconds_t kPause = 5'000;
  for (int i = 0; i < kTries; ++i) {
    char text[512] = {};
    const ssize_t count = ::pread(descriptor, text, sizeof text - 1, 0);
    const std::string all(text, count > 0 ? static_cast<size_t>(count) : 0);
    const size_t first = all.find('\n');
    if (first != std::string::npos && all.ends_with(")\n")) {
      const std::string where = all.substr(0, first), who = all.substr(first + 1, all.size() - first - 2);
      return where == host() ? who : cat(who, " on ", where);
    }
    ::usleep(kPause);
  }
  return "another process";
}

/// The folders of this path that are not there, the outer ones first.
std::vector<std::string> missing_folders(const std::string& folder) {
  std::vector<std::string> missing;
  std::error_code ignored;
  for (fs::path path = fs::path(folder).lexically_normal(); !path.empty() && !fs::exists(path, ignored);
       path = path.parent_path()) {
    if (path.has_filename()) { missing.insert(missing.begin(), path.string()); }
  }
  return missing;
}

constexpr int kTries = 100;  // against other processes, which make and remove the same folder

/// As make_folder, where another process may remove the folder, as empty, at any moment.
void make_shared_folder(const std::string& folder) {
  for (int i = 1;; ++i) {
    try {
      make_folder(folder);
      return;
    } catch (const IoError&) {
      std::error_code ignored;
      if (i == kTries || fs::exists(folder, ignored)) { throw; }
    }
  }
}

/// A file in the folder of a run that another process writes.
void refuse_within_locked_folder(const fs::path& path, const std::string& shown) {
  const Descriptor lock(::open((path.parent_path() / ".run.lock").c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!lock.valid() || !is_locked(lock.number())) { return; }
  const std::string holder = holder_in(lock.number());
  if (holder.find(cat("(process ", ::getpid(), ",")) != std::string::npos) { return; }  // this run's own file
  throw ConfigError(cat(shown, " lies in a folder that is being written by ", holder,
                        "; wait until it has ended, or give another name"));
}

/// After what the program could not do.
constexpr const char* kNotNoticed = "; a second program that writes there is not noticed";

/// Where the lock file cannot be opened. A folder that nothing can be written to needs no lock: its writer says why.
void go_on_without_lock(const std::string& path, const std::string& output, int reason) {
  if (reason == EMFILE || reason == ENFILE) {
    throw IoError(cat("cannot write ", output, ": ", path, ": ", std::strerror(reason)));
  }
  const std::string folder = fs::path(path).parent_path() / ".";
  if (::access(folder.c_str(), W_OK) == 0) {
    note(cat(output, ": its lock file ", path, " cannot be opened (", std::strerror(reason), ")", kNotNoticed));
  }
}

}  // namespace

OutputLock OutputLock::of_folder(const std::string& folder) {
  OutputLock lock;
  lock.made_ = missing_folders(folder);
  make_shared_folder(folder);
  for (int i = 0; i < kTries && !lock.take(folder + "/.run.lock", folder, "give another folder with --out"); ++i) {
    make_shared_folder(folder);  // another process has just removed it, as empty
  }
  return lock;
}

OutputLock OutputLock::of_file(const std::string& file, const std::string& option) {
  OutputLock lock;
  std::error_code error;
  const fs::path path = fs::weakly_canonical(fs::absolute(file, error), error);
  if (error || !path.has_filename()) { return lock; }
  refuse_within_locked_folder(path, file);
  const std::string beside = (path.parent_path() / cat(".", path.filename().string(), ".lock")).string();
  lock.take(beside, file, cat("give another name", option.empty() ? "" : " with " + option));
  return lock;
}

/// False where the folder of `path` is not there. A file that is removed between the two steps is made again.
bool OutputLock::take(const std::string& path, const std::string& output, const std::string& way_out) {
  path_ = path;
  while (true) {
    file_ = Descriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666));
    if (!file_.valid()) {
      if (errno == ENOENT) { return false; }
      go_on_without_lock(path, output, errno);
      return true;
    }
    const FileLocking locking = lock_file(file_.number());
    if (locking == FileLocking::kHeldByAnother) { refuse(output, way_out); }
    if (locking == FileLocking::kNotSupported) { note(cat(output, ": its file system has no locks", kNotNoticed)); }
    if (is_named(file_.number(), path.c_str())) { break; }
  }
  const std::string text = holder_text();
  const int file = file_.number();
  if (!truncate_to(file, 0) || !write_at(file, text.data(), static_cast<int64_t>(text.size()), 0)) {
    errno = 0;  // on a full disk nobody can be named
  }
  return true;
}

void OutputLock::refuse(const std::string& output, const std::string& way_out) {
  const std::string holder = holder_in(file_.number());
  file_.close();  // the file is the holder's: it is not removed
  throw ConfigError(cat(output, " is being written by ", holder, "; wait until it has ended, or ", way_out));
}

OutputLock::~OutputLock() {
  if (file_.valid()) { ::unlink(path_.c_str()); }
  for (auto folder = made_.rbegin(); folder != made_.rend(); ++folder) { ::rmdir(folder->c_str()); }
}

}  // namespace terrace
