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

void sync(const std::string& on_disk, const std::string& shown, int flags) {
  const Descriptor file(::open(on_disk.c_str(), flags | O_CLOEXEC));
  if (!file.valid()) { fail("write", shown, errno); }
  int code = 0;
  do {
    code = ::fsync(file.number()) == 0 ? 0 : errno;
  } while (code == EINTR);  // a signal on a network file system; the file is to be whole nevertheless
  // Some file systems have no fsync for folders; the rename is as durable there as it gets.
  if (code != 0 && code != EINVAL && code != ENOTSUP) { fail("write", shown, code); }
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
  while (!create()) {}
}

/// False where the name is not this process's alone: of another container's process with the same number, or taken for
/// a leftover before it could be locked.
bool PartialFile::create() {
  partial_path_ = partial_name(path_);
  Descriptor made(::open(partial_path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!made.valid() && errno == EEXIST) { return false; }
  if (!made.valid()) { fail("write", path_, errno); }
  if (lock_file(made.number()) == FileLocking::kHeldByAnother) { return false; }
  if (!is_named(made.number(), partial_path_.c_str())) { return false; }
  descriptor_ = std::move(made);
  return true;
}

PartialFile::~PartialFile() {
  if (!committed_) { ::unlink(partial_path_.c_str()); }
}

void PartialFile::commit() {
  sync(partial_path_, path_, O_RDONLY);
  if (::rename(partial_path_.c_str(), path_.c_str()) != 0) { fail("write", path_, errno); }
  committed_ = true;
  const std::string folder = std::filesystem::path(path_).parent_path().string();
  sync(folder.empty() ? "." : folder, path_, O_RDONLY | O_DIRECTORY);
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
