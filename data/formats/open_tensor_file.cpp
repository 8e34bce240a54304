#include "data/formats/open_tensor_file.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "data/files/mapped_file.h"
#include "data/formats/hdf5_tensors.h"
#include "data/formats/npz.h"
#include "data/formats/pth_reader.h"
#include "data/formats/safetensors.h"
#include "data/formats/without_checksums.h"
#include "tensor/base/error.h"
#include "tensor/base/names.h"

namespace terrace {
namespace {

constexpr size_t kMaxNames = 20;  // in an error text

TensorFile open_mapped(const std::shared_ptr<const MappedFile>& file) {
  const std::string& path = file->path();
  if (ZipReader::recognises(*file)) {
    auto zip = std::make_shared<const ZipReader>(file);
    if (is_pth_zip(*zip)) { return TensorFile(path, "PyTorch zip", open_pth_zip(zip)); }
    return TensorFile(path, "npz", open_npz(zip));
  }
  if (is_npy(*file)) {
    note_without_checksums(path);
    return TensorFile(path, "npy", open_npy(file));
  }
  if (is_legacy_pth(*file)) {
    note_without_checksums(path);
    return TensorFile(path, "PyTorch legacy", open_legacy_pth(file));
  }
  if (is_safetensors(*file)) { return TensorFile(path, "safetensors", open_safetensors(file)); }
  throw IoError(cat("cannot read ", path,
                    ": not a file of tensors that is known (.pth and .pt, zip or legacy, .safetensors, .npz, .npy, "
                    ".h5)"));
}

}  // namespace

TensorFile open_tensor_file(const std::string& path) {
  const auto file = MappedFile::open(path);
  if (is_hdf5(*file)) { return TensorFile(path, "HDF5", open_hdf5_tensors(path)); }
  return open_mapped(file);
}

TensorFile open_tensor_bytes(const std::string& name, std::span<const std::byte> bytes) {
  return open_mapped(MappedFile::lend(name, bytes));
}

TensorFile::TensorFile(std::string path, std::string format, std::shared_ptr<const TensorReader> reader)
    : path_(std::move(path)), format_(std::move(format)), reader_(std::move(reader)), entries_(reader_->entries()) {
  for (size_t i = 0; i < entries_.size(); ++i) {
    reader_index_.push_back(i);
    index_.emplace(entries_[i].name, i);
  }
}

size_t TensorFile::find(const std::string& name) const {
  const auto found = index_.find(name);
  if (found != index_.end()) { return found->second; }
  std::vector<std::string> names;
  for (const TensorEntry& entry : entries_) { names.push_back(entry.name); }
  throw IoError(cat(path_, ": no tensor \"", name, "\"; ", nearest_names(names, name, "tensors")));
}

const TensorEntry& TensorFile::entry(const std::string& name) const { return entries_[find(name)]; }

Tensor TensorFile::read(const std::string& name) const {
  const size_t at = find(name);
  const TensorEntry& e = entries_[at];
  Tensor out = Tensor::empty(e.shape, e.dtype);
  reader_->read(reader_index_[at], 0, e.shape.empty() ? 1 : e.shape[0], out);
  return out;
}

Tensor TensorFile::read(const std::string& name, DType dtype) const { return read(name).to(dtype); }

Tensor TensorFile::read_rows(const std::string& name, int64_t begin, int64_t end) const {
  const size_t at = find(name);
  Shape shape = entries_[at].shape;
  if (shape.empty() || begin < 0 || begin > end || end > shape[0]) {
    throw IndexError(cat(path_, ": rows [", begin, ", ", end, ") of tensor \"", name, "\" with shape ", shape));
  }
  shape[0] = end - begin;
  Tensor out = Tensor::empty(shape, entries_[at].dtype);
  reader_->read(reader_index_[at], begin, end, out);
  return out;
}

void TensorFile::read_into(const std::string& name, Tensor& target) const {
  const size_t at = find(name);
  const TensorEntry& e = entries_[at];
  if (target.shape() != e.shape) {
    throw ShapeError(cat(path_, ": tensor \"", name, "\" is ", e.shape, ", not ", target.shape()));
  }
  if (target.dtype() != e.dtype || !target.is_contiguous()) {
    target.copy_(read(name));
    return;
  }
  reader_->read(reader_index_[at], 0, e.shape.empty() ? 1 : e.shape[0], target);
  target.bump_version();
}

TensorFile TensorFile::without_prefix(const std::string& prefix) const {
  TensorFile part(*this);
  part.entries_.clear();
  part.reader_index_.clear();
  part.index_.clear();
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (!entries_[i].name.starts_with(prefix)) { continue; }
    TensorEntry entry = entries_[i];
    entry.name.erase(0, prefix.size());
    part.index_.emplace(entry.name, part.entries_.size());
    part.entries_.push_back(std::move(entry));
    part.reader_index_.push_back(reader_index_[i]);
  }
  return part;
}

TensorFile TensorFile::subtree(const std::string& prefix) const {
  std::string below = prefix;
  for (const bool as_slashes : {false, true}) {
    if (as_slashes) { std::replace(below.begin(), below.end(), '.', '/'); }
    TensorFile part = without_prefix(below.empty() || below.back() == '/' ? below : below + "/");
    if (!part.entries_.empty()) { return part; }
  }
  std::vector<std::string> names = containers();
  std::erase(names, "");
  throw IoError(cat(path_, ": no tensors below \"", prefix, "\"; ",
                    names.empty() ? "all lie at the top" : "there are " + join_names(names, ", ", kMaxNames)));
}

std::vector<std::string> TensorFile::containers() const {
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (const TensorEntry& entry : entries_) {
    const size_t slash = entry.name.rfind('/');
    std::string name = slash == std::string::npos ? "" : entry.name.substr(0, slash);
    if (seen.insert(name).second) { names.push_back(std::move(name)); }
  }
  return names;
}

}  // namespace terrace
