#include "data/hdf5/checked_driver.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "data/files/checksum.h"
#include "data/files/descriptor.h"
#include "data/files/positional_io.h"
#include "data/hdf5/trailer.h"
#include "tensor/base/error.h"
#include "tensor/device/parallel.h"

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

namespace terrace::hdf5 {
namespace {

constexpr int64_t kMinParallelPieces = 8;  // 2 MiB, whose reading takes longer than the threads to wake

/// An open file. The library knows it as its base, which the library itself fills.
struct CheckedFile : H5FD_t {
  explicit CheckedFile(const std::string& path) : H5FD_t{}, descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    struct stat status {};
    if (!descriptor.valid() || ::fstat(descriptor.number(), &status) != 0) {
      throw IoError(cat("cannot read ", path, ": ", std::strerror(errno)));
    }
    device = status.st_dev;
    inode = status.st_ino;
  }

  Descriptor descriptor;
  Trailer trailer;
  haddr_t allocated = 0;  // the library's end of allocated space
  dev_t device = 0;
  ino_t inode = 0;

  /// Blocks that were read for a part of them; metadata lie close together and are read in small pieces.
  struct Block {
    int64_t index = -1;
    std::vector<char> bytes;
  };
  std::array<Block, 8> recent;
  size_t oldest = 0;
};

/// What opening hands to the driver, through the library's list of properties.
struct Handover {
  std::unique_ptr<CheckedFile>* file;
};

CheckedFile& checked(H5FD_t* file) { return static_cast<CheckedFile&>(*file); }
const CheckedFile& checked(const H5FD_t* file) { return static_cast<const CheckedFile&>(*file); }

herr_t refuse(const std::string& why) {
  H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_IO, H5E_READERROR, "%s", why.c_str());
  return -1;
}

int64_t size_of_block(const CheckedFile& file, int64_t block) {
  return std::min(kBlockBytes, file.trailer.content_bytes - block * kBlockBytes);
}

/// Reads whole blocks, `bytes` in all, and compares them with their checksums. Throws IoError with the reason.
void read_piece(const CheckedFile& file, int64_t block, char* out, int64_t bytes) {
  if (!read_at(file.descriptor.number(), out, bytes, block * kBlockBytes)) { throw IoError(std::strerror(errno)); }
  for (int64_t at = 0; at < bytes; at += kBlockBytes, ++block) {
    const int64_t size = std::min(kBlockBytes, bytes - at);
    if (checksum(out + at, static_cast<size_t>(size)) != file.trailer.checksums[static_cast<size_t>(block)]) {
      const int64_t begin = block * kBlockBytes;
      throw IoError(cat("damaged: bytes [", begin, ", ", begin + size, ") are not what was written"));
    }
  }
}

/// The same in pieces, by several threads where there are many.
void read_blocks(const CheckedFile& file, int64_t block, char* out, int64_t bytes) {
  const int64_t pieces = (bytes + kPieceBytes - 1) / kPieceBytes;
  const auto read = [&](int64_t i) {
    const int64_t begin = i * kPieceBytes;
    read_piece(file, block + begin / kBlockBytes, out + begin, std::min(kPieceBytes, bytes - begin));
  };
  if (pieces >= kMinParallelPieces) {
    each_on_one_thread(pieces, read);
  } else {
    for (int64_t i = 0; i < pieces; ++i) { read(i); }
  }
}

/// The bytes of one block.
const char* recent_block(CheckedFile& file, int64_t block) {
  for (const CheckedFile::Block& each : file.recent) {
    if (each.index == block) { return each.bytes.data(); }
  }
  CheckedFile::Block& place = file.recent[file.oldest];
  file.oldest = (file.oldest + 1) % file.recent.size();
  place.index = -1;
  place.bytes.resize(static_cast<size_t>(kBlockBytes));
  read_piece(file, block, place.bytes.data(), size_of_block(file, block));
  place.index = block;
  return place.bytes.data();
}

/// Any part of the content.
void read_bytes(CheckedFile& file, int64_t at, int64_t left, char* out) {
  if (at < 0 || at > file.trailer.content_bytes || left > file.trailer.content_bytes - at) {
    throw IoError("an address behind the end of the file");
  }
  while (left > 0) {
    const int64_t block = at / kBlockBytes, skip = at % kBlockBytes;
    int64_t count = std::min(size_of_block(file, block) - skip, left);
    if (skip == 0 && count == size_of_block(file, block)) {
      count = left == count ? count : left / kBlockBytes * kBlockBytes;  // as many whole blocks as there are
      read_blocks(file, block, out, count);
    } else {
      std::memcpy(out, recent_block(file, block) + skip, static_cast<size_t>(count));
    }
    out += count;
    at += count;
    left -= count;
  }
}

// --- What the library calls ---

H5FD_t* open_file(const char*, unsigned flags, hid_t properties, haddr_t) {
  const auto* handover = static_cast<const Handover*>(H5Pget_driver_info(properties));
  if (handover == nullptr || (flags & H5F_ACC_RDWR) != 0) { return nullptr; }
  return handover->file->release();
}

herr_t close_file(H5FD_t* file) {
  delete &checked(file);
  return 0;
}

int compare_files(const H5FD_t* a, const H5FD_t* b) {
  const auto key = [](const H5FD_t* file) { return std::pair(checked(file).device, checked(file).inode); };
  return key(a) < key(b) ? -1 : key(b) < key(a) ? 1 : 0;
}

herr_t query_features(const H5FD_t*, unsigned long* flags) {
  *flags = H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

haddr_t end_of_allocation(const H5FD_t* file, H5FD_mem_t) { return checked(file).allocated; }

herr_t set_end_of_allocation(H5FD_t* file, H5FD_mem_t, haddr_t address) {
  checked(file).allocated = address;
  return 0;
}

haddr_t end_of_file(const H5FD_t* file, H5FD_mem_t) {
  return static_cast<haddr_t>(checked(file).trailer.content_bytes);
}

herr_t read_file(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, size_t size, void* out) {
  try {
    read_bytes(checked(file), static_cast<int64_t>(address), static_cast<int64_t>(size), static_cast<char*>(out));
    return 0;
  } catch (const std::exception& error) { return refuse(error.what()); }
}

herr_t write_file(H5FD_t*, H5FD_mem_t, hid_t, haddr_t, size_t, const void*) {
  return refuse("the file is open for reading");
}

H5FD_class_t driver_class() {
  H5FD_class_t driver{};
#if H5_VERSION_GE(1, 13, 0)
  driver.version = H5FD_CLASS_VERSION;
  driver.value = 600;  // those up to H5FD_RESERVED, 511, belong to the library and to drivers registered with it
#endif
  driver.name = "terrace_checked";
  driver.maxaddr = (haddr_t{1} << 62) - 1;
  driver.fc_degree = H5F_CLOSE_STRONG;
  driver.fapl_size = sizeof(Handover);
  driver.open = open_file;
  driver.close = close_file;
  driver.cmp = compare_files;
  driver.query = query_features;
  driver.get_eoa = end_of_allocation;
  driver.set_eoa = set_end_of_allocation;
  driver.get_eof = end_of_file;
  driver.read = read_file;
  driver.write = write_file;
  const H5FD_mem_t map[] = H5FD_FLMAP_DICHOTOMY;
  std::copy(std::begin(map), std::end(map), std::begin(driver.fl_map));
  return driver;
}

}  // namespace

Handle open_checked(const std::string& path) {
  static const H5FD_class_t driver = driver_class();
  static const hid_t driver_id = H5FDregister(&driver);
  auto file = std::make_unique<CheckedFile>(path);
  std::optional<Trailer> trailer = read_trailer(file->descriptor.number(), path);
  if (!trailer) { return Handle(); }
  file->trailer = std::move(*trailer);
  const Handover handover{&file};
  const Handle access(H5Pcreate(H5P_FILE_ACCESS));
  Handle opened;
  if (driver_id >= 0 && H5Pset_driver(access, driver_id, &handover) >= 0) {
    opened = Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access));
  }
  if (!opened.valid()) { throw IoError(cat("cannot read ", path, ": ", last_reason())); }
  return opened;
}

}  // namespace terrace::hdf5
