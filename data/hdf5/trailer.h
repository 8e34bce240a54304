// Checksums behind the content of an HDF5 file: of every block of 16 KiB, so that a part of a file can be read and
// checked alone. HDF5 ignores what follows its content, so other programs read these files as ever.
//
//   content                     HDF5, content_bytes long
//   checksums                   u64 of each block (data/files/checksum.h); the last block may be shorter
//   content_bytes               u64
//   block_bytes                 u64, 16384
//   checksum                    u64 of the checksums and the two numbers
//   "terrsum1"                  8 bytes
//
// The root's attribute terrace_checksums (kChecksumMark) says that the file has a trailer, so that one that has lost it
// is told from one that never had it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace terrace::hdf5 {

inline constexpr int64_t kBlockBytes = 16 << 10;
/// What is read at once: small enough to be hashed before it leaves the processor's cache.
inline constexpr int64_t kPieceBytes = 16 * kBlockBytes;
inline constexpr const char* kChecksumMark = "terrace_checksums";

struct Trailer {
  int64_t content_bytes = 0;
  std::vector<uint64_t> checksums;
};

/// Computes the checksums of the complete file `path` and writes them behind it; `shown` names it in errors. Reads the
/// file once. Throws IoError.
void append_trailer(const std::string& path, const std::string& shown);

/// The trailer of an open file; nullopt where it does not end with one. Throws IoError where the trailer is damaged.
std::optional<Trailer> read_trailer(int descriptor, const std::string& path);

}  // namespace terrace::hdf5
