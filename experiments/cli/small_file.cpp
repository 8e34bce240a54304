#include "experiments/cli/small_file.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "data/files/descriptor.h"
#include "experiments/cli/program.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

[[noreturn]] void fail(const std::string& path) {
  throw IoError(cat("cannot read ", path, ": ", std::strerror(errno)));
}

void wait_for_bytes(int descriptor) {
  constexpr int kMilliseconds = 100;
  for (pollfd one{descriptor, POLLIN, 0}; poll(&one, 1, kMilliseconds) <= 0;) { check_interrupt(); }
}

}  // namespace

std::string read_small_file(const std::string& path) {
  // Non-blocking, so that a FIFO without a writer is opened too.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) { fail(path); }
  std::string content;
  char block[1 << 16];
  for (;;) {
    wait_for_bytes(file.number());
    const ssize_t count = read(file.number(), block, sizeof block);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) { continue; }
    if (count < 0) { fail(path); }
    if (count == 0) { return content; }
    content.append(block, static_cast<size_t>(count));
    if (content.size() > kMaxSmallFile) {
      throw ConfigError(
          cat(path, ": is larger than ", kMaxSmallFile >> 20, " MiB, the most that such a file may have"));
    }
  }
}

}  // namespace terrace
