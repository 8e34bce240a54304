// What a zip archive says about its entries: the directory at its end, zip64 or not.
//
// Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.12 (directory), 4.3.14 to 4.3.16 (its ends),
// 4.5.3 (64-bit sizes).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/files/mapped_file.h"

namespace terrace {

struct ZipEntry {
  std::string name;
  int64_t size = 0;    // of the content
  int64_t offset = 0;  // in the file, of the content or of what it was compressed to
  int64_t packed = 0;  // bytes from there on; equal to the size where the content is stored as it is
  uint32_t crc = 0;    // CRC-32 of the content; 0 where the writer computed none
  bool deflated = false;
};

/// The entries in the order of their place in the file. Throws IoError: no directory, an entry that reaches beyond the
/// file, claims more bytes than it can hold, is encrypted, or compressed otherwise than by Deflate.
std::vector<ZipEntry> read_zip_directory(const MappedFile& file);

}  // namespace terrace
