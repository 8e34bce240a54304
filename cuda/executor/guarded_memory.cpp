#include "cuda/executor/guarded_memory.h"

#include <execinfo.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

namespace terrace::executor {
namespace {

/// One range of addresses, handed out from its beginning and none of them twice, so that a stale pointer meets a closed
/// page.
class Arena {
 public:
  static Arena* instance() {
    static Arena* const arena = [] {
      const char* wish = std::getenv("TERRACE_GUARD");
      return wish != nullptr && std::string(wish) == "1" ? new Arena : nullptr;
    }();
    return arena;
  }

  void* allocate(size_t bytes) {
    const std::scoped_lock lock(mutex_);
    const size_t rounded = (bytes + kPage - 1) / kPage * kPage;
    if (rounded > kBytes - kPage - used_) { return nullptr; }
    std::byte* block = begin_ + used_;
    used_ += rounded;
    sizes_[block] = rounded;
    if (open_ > 0) { protect(block, rounded, PROT_READ | PROT_WRITE); }
    return block;
  }

  void release(void* block) {
    const std::scoped_lock lock(mutex_);
    const auto found = sizes_.find(block);
    if (found == sizes_.end()) { return; }
    madvise(block, found->second, MADV_DONTNEED);
    sizes_.erase(found);
  }

  void open() {
    const std::scoped_lock lock(mutex_);
    if (open_++ == 0) { protect(begin_, used_, PROT_READ | PROT_WRITE); }
  }

  void close() {
    const std::scoped_lock lock(mutex_);
    if (--open_ == 0) { protect(begin_, used_, PROT_NONE); }
  }

 private:
  static constexpr size_t kPage = size_t{1} << 21;  // huge pages: mprotect has few of them to change
  static constexpr size_t kBytes = size_t{1} << 40;

  Arena() {
    void* memory = mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) { std::abort(); }
    begin_ = static_cast<std::byte*>(memory);
    begin_ += (kPage - reinterpret_cast<uintptr_t>(begin_) % kPage) % kPage;
    madvise(begin_, kBytes - kPage, MADV_HUGEPAGE);
    // A forked process, as one that reads a file, has no device memory. Were the pages shared with it, each write here
    // would break up a huge page, and every mprotect have 512 times as many to change.
    madvise(begin_, kBytes - kPage, MADV_DONTFORK);
    struct sigaction action {};
    action.sa_sigaction = report;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
  }

  static void protect(void* block, size_t bytes, int protection) {
    if (bytes > 0 && mprotect(block, bytes, protection) != 0) { std::abort(); }
  }

  static void report(int, siginfo_t* info, void*) {
    const auto* at = static_cast<const std::byte*>(info->si_addr);
    const Arena* arena = instance();
    const bool guarded = at >= arena->begin_ && at < arena->begin_ + kBytes;
    const char* text =
        guarded ? "cuda-host: the host touches memory of the device; the stack:\n" : "a fault; the stack:\n";
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text, std::strlen(text));
    void* frames[32];
    backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
    _exit(139);
  }

  std::mutex mutex_;
  std::byte* begin_ = nullptr;
  size_t used_ = 0;
  int open_ = 0;
  std::map<void*, size_t> sizes_;
};

}  // namespace

void guard(DeviceMemory& memory) {
  if (Arena::instance() == nullptr) { return; }
  memory.allocate = [](size_t bytes) { return Arena::instance()->allocate(bytes); };
  memory.release = [](void* block) { Arena::instance()->release(block); };
}

MemoryOpen::MemoryOpen() {
  if (Arena* arena = Arena::instance()) { arena->open(); }
}

MemoryOpen::~MemoryOpen() {
  if (Arena* arena = Arena::instance()) { arena->close(); }
}

}  // namespace terrace::executor
