#include "data/hdf5/trailer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "data/files/checksum.h"
#include "data/files/descriptor.h"
#include "data/files/positional_io.h"
#include "tensor/base/error.h"
#include "tensor/device/parallel.h"

namespace terrace::hdf5 {
namespace {

constexpr char kMagic[8] = {'t', 'e', 'r', 'r', 's', 'u', 'm', '1'};

/// The end of a trailer; what stands before it is the checksums.
struct Footer {
  uint64_t content_bytes, block_bytes, checksum;
  char magic[8];
};

int64_t blocks_of(int64_t content_bytes) { return (content_bytes + kBlockBytes - 1) / kBlockBytes; }

uint64_t checksum_of(const std::vector<uint64_t>& checksums, const Footer& footer) {
  Checksum sum;
  sum.update(checksums.data(), checksums.size() * sizeof(uint64_t));
  sum.update(&footer.content_bytes, 2 * sizeof(uint64_t));
  return sum.value();
}

int64_t size_of_file(int descriptor, const std::string& path) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) { throw IoError(cat("cannot read ", path, ": ", std::strerror(errno))); }
  return status.st_size;
}

void read_or_fail(int descriptor, void* bytes, int64_t count, int64_t at, const std::string& path) {
  if (!read_at(descriptor, bytes, count, at)) { throw IoError(cat("cannot read ", path, ": ", std::strerror(errno))); }
}

}  // namespace

void append_trailer(const std::string& path, const std::string& shown) {
  const Descriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file.valid()) { throw IoError(cat("cannot write ", shown, ": ", std::strerror(errno))); }
  const int64_t size = size_of_file(file.number(), shown);
  std::vector<uint64_t> checksums(static_cast<size_t>(blocks_of(size)));
  each_on_one_thread((size + kPieceBytes - 1) / kPieceBytes, [&](int64_t piece) {
    thread_local std::vector<char> bytes(static_cast<size_t>(kPieceBytes));
    const int64_t begin = piece * kPieceBytes, count = std::min(kPieceBytes, size - begin);
    read_or_fail(file.number(), bytes.data(), count, begin, shown);
    for (int64_t at = 0; at < count; at += kBlockBytes) {
      checksums[static_cast<size_t>((begin + at) / kBlockBytes)] =
          checksum(bytes.data() + at, static_cast<size_t>(std::min(kBlockBytes, count - at)));
    }
  });
  Footer footer{static_cast<uint64_t>(size), static_cast<uint64_t>(kBlockBytes), 0, {}};
  footer.checksum = checksum_of(checksums, footer);
  std::copy(std::begin(kMagic), std::end(kMagic), footer.magic);
  const auto table_bytes = static_cast<int64_t>(checksums.size() * sizeof(uint64_t));
  if (!write_at(file.number(), checksums.data(), table_bytes, size) ||
      !write_at(file.number(), &footer, sizeof footer, size + table_bytes)) {
    throw IoError(cat("cannot write ", shown, ": ", std::strerror(errno)));
  }
}

std::optional<Trailer> read_trailer(int descriptor, const std::string& path) {
  const int64_t size = size_of_file(descriptor, path);
  Footer footer;
  if (size < static_cast<int64_t>(sizeof footer)) { return std::nullopt; }
  read_or_fail(descriptor, &footer, sizeof footer, size - static_cast<int64_t>(sizeof footer), path);
  if (std::memcmp(footer.magic, kMagic, sizeof kMagic) != 0) { return std::nullopt; }
  const auto content = static_cast<int64_t>(footer.content_bytes);
  const int64_t before = size - static_cast<int64_t>(sizeof footer);
  const bool fits = content > 0 && content < before && footer.block_bytes == static_cast<uint64_t>(kBlockBytes) &&
                    before - content == blocks_of(content) * static_cast<int64_t>(sizeof(uint64_t));
  Trailer trailer{content, {}};
  if (fits) {
    trailer.checksums.resize(static_cast<size_t>(blocks_of(content)));
    read_or_fail(descriptor, trailer.checksums.data(), before - content, content, path);
  }
  if (!fits || checksum_of(trailer.checksums, footer) != footer.checksum) {
    throw IoError(cat("cannot read ", path, ": damaged: the checksums at its end are not what was written"));
  }
  return trailer;
}

}  // namespace terrace::hdf5
