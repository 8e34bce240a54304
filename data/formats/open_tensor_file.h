// Files of named tensors, whatever wrote them:
//
//   TensorFile file = open_tensor_file("var_d16.pth");       // or .safetensors, .npz, .npy, .h5
//   for (const TensorEntry& entry : file.entries()) std::cout << entry.name << entry.shape << entry.dtype;
//   Tensor w = file.read("blocks.0.attn.mat_qkv.weight");
//   TensorFile vae = open_tensor_file("checkpoint.pth").subtree("trainer/vae_local");
//
// The format is recognised by content. Opening reads what describes the tensors; their values are copied out of a map
// of the file when they are asked for, so that reading a file from one end to the other needs no memory of its size.
// Nested containers give names with slashes: trainer/var_wo_ddp/pos_start, list/0.
//
// All errors are IoError and name the file. A TensorFile is a handle; one file is for one thread at a time.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/formats/tensor_reader.h"
#include "tensor/tensor.h"

namespace terrace {

class TensorFile {
 public:
  TensorFile(std::string path, std::string format, std::shared_ptr<const TensorReader> reader);

  const std::string& path() const { return path_; }
  const std::string& format() const { return format_; }  // "PyTorch zip", "PyTorch legacy", "safetensors", ...
  const std::vector<TensorEntry>& entries() const { return entries_; }
  bool has(const std::string& name) const { return index_.contains(name); }
  const TensorEntry& entry(const std::string& name) const;  // throws IoError that gives the nearest names
  /// Text beside the tensors: safetensors' __metadata__, an HDF5 file's attributes, arrays of text in .npz, plain
  /// values and records extra/NAME in .pth.
  const std::map<std::string, std::string>& metadata() const { return reader_->metadata(); }

  Tensor read(const std::string& name) const;  // contiguous
  Tensor read(const std::string& name, DType dtype) const;
  /// Rows [begin, end) along the first dimension.
  Tensor read_rows(const std::string& name, int64_t begin, int64_t end) const;
  /// Into a tensor of the same shape, converting to its dtype; without a copy between where the dtypes agree.
  void read_into(const std::string& name, Tensor& target) const;

  /// The entries below `prefix` (trainer/var_wo_ddp, or with dots), without it. Throws IoError that lists what is there
  /// where nothing is below it.
  TensorFile subtree(const std::string& prefix) const;
  /// The entries whose names begin so, without it; possibly none.
  TensorFile without_prefix(const std::string& prefix) const;
  /// Names of the containers that hold tensors, "" among them where tensors lie at the top; in file order.
  std::vector<std::string> containers() const;

 private:
  size_t find(const std::string& name) const;

  std::string path_, format_;
  std::shared_ptr<const TensorReader> reader_;
  std::vector<TensorEntry> entries_;
  std::vector<size_t> reader_index_;     // of each entry
  std::map<std::string, size_t> index_;  // name to place in entries_
};

TensorFile open_tensor_file(const std::string& path);
/// The same from bytes that outlive the result, under a name for error texts.
TensorFile open_tensor_bytes(const std::string& name, std::span<const std::byte> bytes);

}  // namespace terrace
