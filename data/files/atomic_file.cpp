#include "data/files/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "data/files/file_lock.h"
#include "data/files/leftovers.h"
#include "data/files/positional_io.h"
#include "tensor/base/error.h"
#include "tensor/device/interruption.h"

namespace terrace {
namespace {

[[noreturn]] void fail(const char* doing, const std::string& path, int code) {
  throw IoError(cat("cannot ", doing, " ", path, ": ", std::strerror(code)));
}

Descriptor opened(const std::string& on_disk, const std::string& shown, int flags) {
  Descriptor file(::open(on_disk.c_str(), flags | O_CLOEXEC));
  if (!file.valid()) { fail("write", shown, errno); }
  return file;
}

/// 0, or why the system cannot flush it to the disk.
int sync(const Descriptor& file) {
  int code = 0;
  do {
    code = ::fsync(file.number()) == 0 ? 0 : errno;
  } while (code == EINTR);  // a signal on a network file system; the file is to be whole nevertheless
  // Some file systems have no fsync for folders; the rename is as durable there as it gets.
  return code == EINVAL || code == ENOTSUP ? 0 : code;
}

}  // namespace

PartialFile::PartialFile(std::string path) : path_(std::move(path)) {
  if (path_.empty()) { throw IoError("cannot write a file: its name is empty"); }
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    if (S_ISDIR(status.st_mode)) { fail("write", path_, EISDIR); }
    throw IoError(cat("cannot write ", path_, ": it is not a regular file"));
  }
  remove_leftovers(path_);
  constexpr int kTries = 100;
  std::string reason;
  for (int i = 0; i < kTries; ++i) {
    reason = create();
    if (reason.empty()) { return; }
  }
  throw IoError(cat("cannot write ", path_, ": ", reason, ", ", kTries, " times in a row"));
}

/// "", or why the name is not this process's alone: it is that of another container's process with the same number, or
/// was taken for a leftover before it could be locked.
std::string PartialFile::create() {
  partial_path_ = partial_name(path_);
  Descriptor made(::open(partial_path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!made.valid() && errno == EEXIST) { return "there is a file under the name that it has until it is complete"; }
  if (!made.valid()) { fail("write", path_, errno); }
  const bool locked = lock_file(made.number()) != FileLocking::kHeldByAnother;
  const bool named = is_named(made.number(), partial_path_.c_str());
  if (locked && named) {
    descriptor_ = std::move(made);
    return "";
  }
  if (named) { ::unlink(partial_path_.c_str()); }
  return locked ? "the new file beside it is no longer there" : "another process has locked the new file beside it";
}

PartialFile::~PartialFile() {
  if (!committed_) { ::unlink(partial_path_.c_str()); }
}

void PartialFile::commit() {
  // Opened before the old file is replaced, which a folder that cannot be opened leaves as it is.
  const std::string parent = std::filesystem::path(path_).parent_path().string();
  const Descriptor folder = opened(parent.empty() ? "." : parent, path_, O_RDONLY | O_DIRECTORY);
  if (const int code = sync(opened(partial_path_, path_, O_RDONLY)); code != 0) { fail("write", path_, code); }
  if (::rename(partial_path_.c_str(), path_.c_str()) != 0) { fail("write", path_, errno); }
  committed_ = true;
  if (const int code = sync(folder); code != 0) {
    throw IoError(cat("cannot write ", path_, ": ", std::strerror(code), ": the new file is in place, ",
                      "but may be gone after a power cut"));
  }
}

AtomicFile::AtomicFile(std::string path)
    : file_(std::move(path)), descriptor_(::open(file_.partial_path().c_str(), O_WRONLY | O_CLOEXEC)) {
  if (!descriptor_.valid()) { fail("write", file_.path(), errno); }
}

void AtomicFile::write(const void* bytes, size_t count) {
  const char* next = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t written = ::write(descriptor_.number(), next, count);
    if (written < 0 && errno == EINTR) { continue; }
    if (written < 0) { fail("write", file_.path(), errno); }
    next += written;
    count -= static_cast<size_t>(written);
  }
}

void AtomicFile::write_at(int64_t at, std::string_view text) {
  if (!terrace::write_at(descriptor_.number(), text.data(), static_cast<int64_t>(text.size()), at)) {
    fail("write", file_.path(), errno);
  }
}

void AtomicFile::commit() {
  if (!descriptor_.close()) { fail("write", file_.path(), errno); }
  file_.commit();
}

void write_file(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

std::string read_file(const std::string& path) {
  Descriptor file;
  while (!(file = Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC))).valid() && errno == EINTR) {
    interruption_point();
  }
  if (!file.valid()) { fail("read", path, errno); }
  struct stat status {};
  if (::fstat(file.number(), &status) == 0 && S_ISCHR(status.st_mode)) {
    throw IoError(cat("cannot read ", path, ": it is a device, which has no end"));
  }
  std::string content;
  char block[1 << 16];
  for (;;) {
    const ssize_t count = ::read(file.number(), block, sizeof block);
    if (count < 0 && errno == EINTR) {
      interruption_point();  // a pipe's writer may never write
      continue;
    }
    if (count < 0) { fail("read", path, errno); }
    if (count == 0) { return content; }
    content.append(block, static_cast<size_t>(count));
  }
}

}  // namespace terrace
