#include "data/formats/tensor_writer.h"

#include <filesystem>
#include <set>

#include "data/formats/npz.h"
#include "data/formats/pth_writer.h"
#include "data/formats/safetensors.h"
#include "tensor/base/error.h"

namespace terrace {

TensorWriter::TensorWriter(std::string path, std::vector<TensorEntry> entries)
    : path_(std::move(path)), entries_(std::move(entries)) {
  std::set<std::string> names;
  for (const TensorEntry& entry : entries_) {
    if (!names.insert(entry.name).second) {
      throw IoError(cat("cannot write ", path_, ": two tensors are named \"", entry.name, "\""));
    }
  }
}

void TensorWriter::write(const Tensor& value) {
  if (next_ == entries_.size()) { throw IoError(cat("cannot write ", path_, ": more tensors than were declared")); }
  const TensorEntry& entry = entries_[next_];
  check_shape(value, entry.shape, "write", entry.name.c_str());
  check_dtype(value, entry.dtype, "write", entry.name.c_str());
  write_entry(entry, value.to(kCpu).contiguous());
  ++next_;
}

void TensorWriter::commit() {
  if (next_ < entries_.size()) {
    throw IoError(cat("cannot write ", path_, ": ", entries_.size() - next_, " tensors are missing, the first is \"",
                      entries_[next_].name, "\""));
  }
  finish();
}

std::unique_ptr<TensorWriter> create_tensor_file(const std::string& path, std::vector<TensorEntry> entries,
                                                 const std::map<std::string, std::string>& metadata) {
  const std::string ending = std::filesystem::path(path).extension().string();
  if (ending == ".safetensors") { return create_safetensors(path, std::move(entries), metadata); }
  if (ending == ".npz") { return create_npz(path, std::move(entries), metadata); }
  if (ending == ".pth" || ending == ".pt") { return create_pth(path, std::move(entries), metadata); }
  throw ConfigError(cat("cannot write ", path, ": its ending must be .safetensors, .npz, .pth or .pt"));
}

}  // namespace terrace
