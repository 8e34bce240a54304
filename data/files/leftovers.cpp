#include "data/files/leftovers.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "data/files/descriptor.h"
#include "data/files/file_lock.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMark = ".partial-";
constexpr size_t kBootDigits = 8;
const std::string kUnknownBoot(kBootDigits, '0');
constexpr std::time_t kOldVersionIdle = 3600;  // seconds

/// The beginning of the kernel's boot id, the same in all its containers; zeros where it cannot be read.
const std::string& boot_id() {
  static const std::string id = [] {
    std::string digits = kUnknownBoot;
    const Descriptor file(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
    std::string read(kBootDigits, '0');
    if (::read(file.number(), read.data(), read.size()) == static_cast<ssize_t>(kBootDigits)) { digits = read; }
    return digits;
  }();
  return id;
}

/// A file beside the one that it was to become.
struct Partial {
  std::string name, boot;  // boot: "" of earlier versions
  pid_t process = 0;
};

template <class T>
bool read_number(std::string_view text, T& value) {
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && error == std::errc() && rest == text.data() + text.size();
}

bool is_boot_id(std::string_view text) {
  return text.size() == kBootDigits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// "a.h5" and the rest, of "a.h5.partial-12-0123abcd-0" or "a.h5.partial-12-0".
std::optional<std::pair<std::string, Partial>> parse(const std::string& name) {
  const size_t at = name.rfind(kMark);
  if (at == std::string::npos || at == 0) { return std::nullopt; }
  Partial partial{.name = name, .boot = ""};
  const std::string_view rest = std::string_view(name).substr(at + kMark.size());
  const size_t first = rest.find('-'), last = rest.rfind('-');
  int64_t number = 0;
  if (first == std::string_view::npos || !read_number(rest.substr(0, first), partial.process) ||
      !read_number(rest.substr(last + 1), number) || partial.process <= 0 || number < 0) {
    return std::nullopt;
  }
  if (first != last) {
    const std::string_view boot = rest.substr(first + 1, last - first - 1);
    if (!is_boot_id(boot)) { return std::nullopt; }
    partial.boot = boot;
  }
  return std::pair(name.substr(0, at), std::move(partial));
}

using Partials = std::multimap<std::string, Partial>;  // by the name of the file that they were to become

Partials partials_in(const fs::path& folder) {
  Partials found;
  std::error_code ignored;
  for (fs::directory_iterator entry(folder, ignored), end; !ignored && entry != end; entry.increment(ignored)) {
    if (auto partial = parse(entry->path().filename().string())) { found.insert(std::move(*partial)); }
  }
  return found;
}

/// Whether no other machine writes to this file system.
bool is_of_this_machine(int descriptor) {
  constexpr unsigned long kXfs = 0x58465342, kZfs = 0x2fc12fc1;  // not in linux/magic.h
  constexpr unsigned long kLocal[] = {
      EXT4_SUPER_MAGIC, BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC, TMPFS_MAGIC, OVERLAYFS_SUPER_MAGIC, kXfs, kZfs};
  struct statfs system {};
  if (::fstatfs(descriptor, &system) != 0) { return false; }
  const auto type = static_cast<unsigned long>(system.f_type) & 0xffffffffUL;
  return std::find(std::begin(kLocal), std::end(kLocal), type) != std::end(kLocal);
}

bool has_ended(const Partial& partial, const struct stat& status) {
  return ::kill(partial.process, 0) != 0 && errno == ESRCH && std::time(nullptr) - status.st_mtime > kOldVersionIdle;
}

/// The file is removed while its lock is held: nobody can take it over in between.
void remove_if_dead(const fs::path& folder, const Partial& partial) {
  const std::string path = (folder / partial.name).string();
  const Descriptor file(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) { return; }
  struct stat status {};
  const bool usable = ::fstat(file.number(), &status) == 0 && S_ISREG(status.st_mode);
  const bool same_kernel = partial.boot == boot_id() && partial.boot != kUnknownBoot;
  const bool here = same_kernel || is_of_this_machine(file.number());
  const bool dead = partial.boot.empty() ? has_ended(partial, status) : here;
  if (usable && dead && lock_file(file.number()) == FileLocking::kTaken) { ::unlink(path.c_str()); }
}

}  // namespace

std::string partial_name(const std::string& path) {
  static std::atomic<int> counter{0};
  return cat(path, kMark, ::getpid(), "-", boot_id(), "-", counter++);
}

void remove_leftovers(const std::string& path) {
  static std::mutex mutex;
  static std::map<std::string, Partials> folders;
  const fs::path file(path);
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  std::vector<Partial> of_file;
  {
    const std::lock_guard lock(mutex);
    auto [known, is_new] = folders.try_emplace(folder.string());
    if (is_new) { known->second = partials_in(folder); }
    const auto [begin, end] = known->second.equal_range(file.filename().string());
    for (auto at = begin; at != end; ++at) { of_file.push_back(at->second); }
    known->second.erase(begin, end);
  }
  for (const Partial& partial : of_file) { remove_if_dead(folder, partial); }
}

void remove_leftovers_in(const std::string& folder) {
  for (const auto& [name, partial] : partials_in(folder)) { remove_if_dead(folder, partial); }
}

}  // namespace terrace
