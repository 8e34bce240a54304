#include "data/formats/hdf5_tensors.h"

#include <cstring>

#include "data/hdf5/file.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

class Hdf5Tensors : public TensorReader {
 public:
  explicit Hdf5Tensors(const std::string& path) : file_(Hdf5File::open(path)) {
    for (const std::string& name : file_.walk()) {
      const Hdf5DatasetInfo info = file_.info(name);
      if (!info.is_string) { entries_.push_back({name, info.dtype, info.shape}); }
    }
    for (const std::string& name : file_.list_attrs("/")) {
      try {
        metadata_[name] = file_.read_attr_string("/", name);
      } catch (const IoError&) {
        // The attribute is a number. Metadata are texts.
      }
    }
  }
  const std::vector<TensorEntry>& entries() const override { return entries_; }
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  void read(size_t index, int64_t begin, int64_t end, Tensor& out) const override {
    const TensorEntry& e = entries_[index];
    const bool all = e.shape.empty() || (begin == 0 && end == e.shape[0]);
    const Tensor value = all ? file_.read(e.name) : file_.read_rows(e.name, begin, end);
    std::memcpy(out.raw_data(), value.raw_data(), static_cast<size_t>(value.numel() * size_of(e.dtype)));
  }

 private:
  Hdf5File file_;
  std::vector<TensorEntry> entries_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace

bool is_hdf5(const MappedFile& file) {
  return file.size() >= 8 && std::memcmp(file.data(), "\x89HDF\r\n\x1a\n", 8) == 0;
}

std::shared_ptr<const TensorReader> open_hdf5_tensors(const std::string& path) {
  return std::make_shared<const Hdf5Tensors>(path);
}

}  // namespace terrace
