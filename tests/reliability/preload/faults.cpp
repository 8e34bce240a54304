// A library for LD_PRELOAD: at the k-th of certain calls that change or read a file below a folder the call fails, or
// the process dies in its midst.
//
//   TERRACE_FAULT=kill:change:17    dies by SIGKILL in the 17th change, of a write after half of its bytes
//   TERRACE_FAULT=full:change:17    from the 17th on, what takes space fails with ENOSPC; a write writes half before
//   TERRACE_FAULT=readonly:create:1 from the 1st on, what creates or renames a file fails with EROFS
//   TERRACE_FAULT=broken:read:17    the 17th read, and all after it, fail with EIO
//   TERRACE_FAULT=count:change:0    nothing fails, and the calls of all kinds are counted
//   TERRACE_FAULT_ROOT=FOLDER       files below this folder count, no others; or those whose path holds this text
//   TERRACE_FAULT_COUNTER=FILE      of 24 bytes: numbers of changes, creations and reads, of all processes together
//
// `change` is write, pwrite, writev, fsync, fdatasync, ftruncate, rename, unlink and open where it creates.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

enum class Fault { kNone, kKill, kFull, kReadOnly, kBroken, kCount };
enum class Calls { kChange, kCreate, kRead };

struct Plan {
  Fault fault = Fault::kNone;
  Calls calls = Calls::kChange;
  long at = 0;
  const char* root = "/";
  std::atomic<long>* counter = nullptr;

  Plan() {
    const char* text = std::getenv("TERRACE_FAULT");
    const char* file = std::getenv("TERRACE_FAULT_COUNTER");
    if (text == nullptr || file == nullptr) { return; }
    if (std::getenv("TERRACE_FAULT_ROOT") != nullptr) { root = std::getenv("TERRACE_FAULT_ROOT"); }
    const char* colon = std::strchr(text, ':');
    const char* last = std::strrchr(text, ':');
    if (colon == nullptr || last == colon) { return; }
    at = std::atol(last + 1);
    calls = std::strncmp(colon, ":read", 5) == 0     ? Calls::kRead
            : std::strncmp(colon, ":create", 7) == 0 ? Calls::kCreate
                                                     : Calls::kChange;
    // open() below would ask for the plan that is being made.
    const int descriptor = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0));
    if (descriptor < 0) { return; }
    void* map = ::mmap(nullptr, 3 * sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    ::close(descriptor);
    if (map == MAP_FAILED) { return; }
    counter = static_cast<std::atomic<long>*>(map);
    fault = *text == 'k'   ? Fault::kKill
            : *text == 'f' ? Fault::kFull
            : *text == 'r' ? Fault::kReadOnly
            : *text == 'b' ? Fault::kBroken
                           : Fault::kCount;
  }
};

Plan& plan() {
  static Plan made;
  return made;
}

bool counts(const char* path) { return path != nullptr && std::strstr(path, plan().root) != nullptr; }

bool counts(int descriptor) {
  struct stat status {};
  if (plan().fault == Fault::kNone || descriptor <= 2 || ::fstat(descriptor, &status) != 0 ||
      !S_ISREG(status.st_mode)) {
    return false;
  }
  char link[64], path[4096];
  std::snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
  const ssize_t length = ::readlink(link, path, sizeof(path) - 1);
  if (length <= 0) { return false; }
  path[length] = '\0';
  return counts(path);
}

/// A relative path is below the working directory, which lies in the folder.
bool counts_path(const char* path) {
  if (plan().fault == Fault::kNone || path == nullptr) { return false; }
  return path[0] == '/' ? counts(path) : plan().root[0] == '/' || counts(path);
}

/// Counts the call; true where it is the one that must fail. Where a kill is planned there is no return.
bool is_due(Calls calls) {
  if (plan().fault != Fault::kCount && plan().calls != calls) { return false; }
  const long number = plan().counter[static_cast<int>(calls)].fetch_add(1) + 1;
  return plan().fault != Fault::kCount && number >= plan().at;
}

int error_number() { return plan().fault == Fault::kFull ? ENOSPC : plan().fault == Fault::kReadOnly ? EROFS : EIO; }

int fail() {
  if (plan().fault == Fault::kKill) {
    ::kill(::getpid(), SIGKILL);
    for (;;) { ::pause(); }
  }
  errno = error_number();
  return -1;
}

template <class F>
F next(const char* name) {
  return reinterpret_cast<F>(::dlsym(RTLD_NEXT, name));
}

/// Removing a file takes no space.
int removed(const char* path, int (*original)(const char*)) {
  const bool due = counts_path(path) && is_due(Calls::kChange) && plan().fault == Fault::kKill;
  return due ? fail() : original(path);
}

/// The argument that open() has where it may make a file.
mode_t mode_of(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

extern "C" {

ssize_t write(int descriptor, const void* bytes, size_t count) {
  static const auto original = next<ssize_t (*)(int, const void*, size_t)>("write");
  if (counts(descriptor) && is_due(Calls::kChange)) {
    if (count > 1) { original(descriptor, bytes, count / 2); }
    return fail();
  }
  return original(descriptor, bytes, count);
}

ssize_t pwrite(int descriptor, const void* bytes, size_t count, off_t offset) {
  static const auto original = next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  if (counts(descriptor) && is_due(Calls::kChange)) {
    if (count > 1) { original(descriptor, bytes, count / 2, offset); }
    return fail();
  }
  return original(descriptor, bytes, count, offset);
}
ssize_t pwrite64(int descriptor, const void* bytes, size_t count, off64_t offset) {
  return pwrite(descriptor, bytes, count, offset);
}

ssize_t writev(int descriptor, const iovec* parts, int count) {
  static const auto original = next<ssize_t (*)(int, const iovec*, int)>("writev");
  return counts(descriptor) && is_due(Calls::kChange) ? fail() : original(descriptor, parts, count);
}

ssize_t read(int descriptor, void* bytes, size_t count) {
  static const auto original = next<ssize_t (*)(int, void*, size_t)>("read");
  return counts(descriptor) && is_due(Calls::kRead) ? fail() : original(descriptor, bytes, count);
}

ssize_t pread(int descriptor, void* bytes, size_t count, off_t offset) {
  static const auto original = next<ssize_t (*)(int, void*, size_t, off_t)>("pread");
  return counts(descriptor) && is_due(Calls::kRead) ? fail() : original(descriptor, bytes, count, offset);
}
ssize_t pread64(int descriptor, void* bytes, size_t count, off64_t offset) {
  return pread(descriptor, bytes, count, offset);
}

int fsync(int descriptor) {
  static const auto original = next<int (*)(int)>("fsync");
  return counts(descriptor) && is_due(Calls::kChange) ? fail() : original(descriptor);
}

int fdatasync(int descriptor) {
  static const auto original = next<int (*)(int)>("fdatasync");
  return counts(descriptor) && is_due(Calls::kChange) ? fail() : original(descriptor);
}

int ftruncate(int descriptor, off_t length) {
  static const auto original = next<int (*)(int, off_t)>("ftruncate");
  const bool grows = plan().fault == Fault::kKill || plan().fault == Fault::kCount;
  return counts(descriptor) && is_due(Calls::kChange) && grows ? fail() : original(descriptor, length);
}
int ftruncate64(int descriptor, off64_t length) { return ftruncate(descriptor, length); }

int rename(const char* from, const char* to) {
  static const auto original = next<int (*)(const char*, const char*)>("rename");
  const bool change = counts_path(from) && is_due(Calls::kChange) && plan().fault != Fault::kFull;
  const bool create = !change && counts_path(from) && is_due(Calls::kCreate);
  return change || create ? fail() : original(from, to);
}

int unlink(const char* path) {
  static const auto original = next<int (*)(const char*)>("unlink");
  return removed(path, original);
}
int remove(const char* path) {
  static const auto original = next<int (*)(const char*)>("remove");
  return removed(path, original);
}

int open(const char* path, int flags, ...) {
  static const auto original = next<int (*)(const char*, int, ...)>("open");
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  if ((flags & O_CREAT) != 0 && counts_path(path) && (is_due(Calls::kChange) || is_due(Calls::kCreate))) {
    return fail();
  }
  return original(path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open(path, flags, mode);
}

int mkdir(const char* path, mode_t mode) {
  static const auto original = next<int (*)(const char*, mode_t)>("mkdir");
  return counts_path(path) && is_due(Calls::kCreate) ? fail() : original(path, mode);
}

}  // extern "C"
