// safetensors, little-endian:
//
//   0      u64 N, the length of the header
//   8      the header, N bytes of JSON, which spaces may pad:
//          {"__metadata__": {"format": "pt"},
//           "head.bias": {"dtype": "F32", "shape": [64], "data_offsets": [0, 256]}, ...}
//   8 + N  the tensors' bytes, one after the other; data_offsets (begin and end) count from here
//
// Files of Terrace have checksums (data/files/checksum.h) in a member of __metadata__: "terrace_checksums": "xxh3:",
// then 16 hexadecimal digits for the header, N and the JSON text, with zeros in the place of these 16, and 16 for the
// bytes of each tensor (checksum_of_pieces), in the order of their data. The header's is compared when a file is
// opened, a tensor's when it is read for the first time. A file without them gives a note.
//
// A file is refused wherever the reference implementation refuses it: data that overlaps, leaves holes or ends beyond
// the file, sizes that are not those of shape and dtype, names that come twice, headers of more than 100 MB.
#pragma once

#include <memory>

#include "data/files/mapped_file.h"
#include "data/formats/tensor_reader.h"
#include "data/formats/tensor_writer.h"

namespace terrace {

bool is_safetensors(const MappedFile& file);
std::shared_ptr<const TensorReader> open_safetensors(std::shared_ptr<const MappedFile> file);
std::unique_ptr<TensorWriter> create_safetensors(const std::string& path, std::vector<TensorEntry> entries,
                                                 const std::map<std::string, std::string>& metadata);

}  // namespace terrace
