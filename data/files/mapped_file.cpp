#include "data/files/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "data/files/descriptor.h"
#include "tensor/base/error.h"

namespace terrace {

MappedFile::MappedFile(std::string path, std::span<const std::byte> bytes, bool mapped)
    : path_(std::move(path)), bytes_(bytes), mapped_(mapped) {}

MappedFile::~MappedFile() {
  if (mapped_) { ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size()); }
}

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) {
  const auto fail = [&](const std::string& why) -> IoError { return IoError(cat("cannot read ", path, ": ", why)); };
  // Without waiting: what is no regular file, as a pipe without a writer, is refused below.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) { throw fail(std::strerror(errno)); }
  struct stat status {};
  std::string problem;
  void* start = nullptr;
  if (::fstat(file.number(), &status) != 0) {
    problem = std::strerror(errno);
  } else if (!S_ISREG(status.st_mode)) {
    problem = S_ISDIR(status.st_mode) ? "it is a folder" : "it is not a regular file";
  } else if (status.st_size == 0) {
    problem = "the file is empty";
  } else {
    start = ::mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, file.number(), 0);
    if (start == MAP_FAILED) { problem = std::strerror(errno); }
  }
  if (!problem.empty()) { throw fail(problem); }
  const auto size = static_cast<size_t>(status.st_size);
  ::madvise(start, size, MADV_SEQUENTIAL);
  return std::shared_ptr<const MappedFile>(new MappedFile(path, {static_cast<const std::byte*>(start), size}, true));
}

std::shared_ptr<const MappedFile> MappedFile::lend(std::string name, std::span<const std::byte> bytes) {
  return std::shared_ptr<const MappedFile>(new MappedFile(std::move(name), bytes, false));
}

void MappedFile::release(int64_t begin, int64_t end) const {
  if (!mapped_) { return; }
  const int64_t page = ::sysconf(_SC_PAGESIZE);
  const int64_t first = (begin + page - 1) / page * page;
  const int64_t last = end == size() ? end : end / page * page;
  if (first < last) {
    ::madvise(const_cast<std::byte*>(data()) + first, static_cast<size_t>(last - first), MADV_DONTNEED);
  }
}

}  // namespace terrace
