#include "data/datasets/image_source.h"

#include <algorithm>
#include <filesystem>

#include "data/datasets/image_dataset.h"
#include "data/formats/open_tensor_file.h"
#include "data/images/image_file.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

class FolderSource : public ImageSource {
 public:
  explicit FolderSource(const std::string& folder) {
    const auto hidden = [](const fs::path& path) { return path.filename().string().starts_with('.'); };
    std::error_code error;
    for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
      if (hidden(entry->path())) {
        entry.disable_recursion_pending();
      } else if (entry->is_regular_file() && is_picture_name(entry->path())) {
        files_.push_back(entry->path());
      }
    }
    if (error) { throw IoError(cat("cannot read ", folder, ": ", error.message())); }
    if (files_.empty()) { throw IoError(cat("cannot read ", folder, ": it holds no .png, .jpg or .jpeg file")); }
    std::sort(files_.begin(), files_.end());
    find_classes(folder);
  }

  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  Tensor image(int64_t i) const override { return read_image(files_.at(static_cast<size_t>(i)).string()); }
  int64_t label(int64_t i) const override { return labels_.empty() ? -1 : labels_[static_cast<size_t>(i)]; }
  const std::vector<std::string>& class_names() const override { return classes_; }
  bool separate_files() const override { return true; }

 private:
  void find_classes(const std::string& folder) {
    std::vector<std::string> first;  // folder below the root, of each file
    for (const fs::path& file : files_) {
      const fs::path below = file.lexically_relative(folder);
      if (!below.has_parent_path()) { return; }
      first.push_back(below.begin()->string());
    }
    classes_ = first;
    std::sort(classes_.begin(), classes_.end());
    classes_.erase(std::unique(classes_.begin(), classes_.end()), classes_.end());
    for (const std::string& name : first) {
      labels_.push_back(std::lower_bound(classes_.begin(), classes_.end(), name) - classes_.begin());
    }
  }

  std::vector<fs::path> files_;
  std::vector<int64_t> labels_;
  std::vector<std::string> classes_;
};

/// Sets that hold their labels as numbers.
class LabelledSource : public ImageSource {
 public:
  int64_t label(int64_t i) const override { return labels_.empty() ? -1 : labels_[static_cast<size_t>(i)]; }
  const std::vector<std::string>& class_names() const override { return classes_; }
  bool separate_files() const override { return false; }

 protected:
  std::vector<int64_t> labels_;
  std::vector<std::string> classes_;
};

class NpzSource : public LabelledSource {
 public:
  explicit NpzSource(const std::string& path) : file_(open_tensor_file(path)) {
    if (!file_.has("arr_0")) { throw IoError(cat("cannot read ", path, ": it has no array arr_0 of images")); }
    const TensorEntry& entry = file_.entry("arr_0");
    const bool pictures = entry.dtype == DType::kU8 && entry.shape.size() == 4 && entry.shape[3] == 3;
    if (!pictures || entry.shape.numel() == 0) {
      throw IoError(
          cat("cannot read ", path, ": images (arr_0) must be u8 (N, H, W, 3), got ", entry.dtype, " ", entry.shape));
    }
    size_ = entry.shape[0];
    if (file_.has("arr_1") && file_.entry("arr_1").shape == Shape{size_}) {
      labels_ = file_.read("arr_1").to_vector<int64_t>();
    }
  }

  int64_t size() const override { return size_; }
  Tensor image(int64_t i) const override { return file_.read_rows("arr_0", i, i + 1).select(0, 0).contiguous(); }

 private:
  TensorFile file_;
  int64_t size_ = 0;
};

class DatasetSource : public LabelledSource {
 public:
  explicit DatasetSource(const ImageDataset& dataset) : dataset_(dataset) {
    labels_ = dataset_.labels().to_vector<int64_t>();
    classes_ = dataset_.class_names();
  }
  int64_t size() const override { return dataset_.size(); }
  Tensor image(int64_t i) const override { return dataset_.image(i); }

 private:
  ImageDataset dataset_;
};

class TensorSource : public LabelledSource {
 public:
  TensorSource(const Tensor& images, const Tensor& labels) : images_(images) {
    check_dtype(images, DType::kU8, "image_source_of", "images");
    check_ndim(images, 4, "image_source_of", "images");
    check_shape(images, {images.dim(0), images.dim(1), images.dim(2), 3}, "image_source_of", "images");
    if (!labels.defined()) { return; }
    check_shape(labels, {images.dim(0)}, "image_source_of", "labels");
    labels_ = labels.to_vector<int64_t>();
  }
  int64_t size() const override { return images_.dim(0); }
  Tensor image(int64_t i) const override { return images_.select(0, i).contiguous(); }

 private:
  Tensor images_;
};

}  // namespace

std::shared_ptr<const ImageSource> open_image_source(const std::string& path, const std::string& split) {
  if (lower_extension(path) == ".h5" && !fs::is_directory(path)) {
    if (!split.empty()) { return std::make_shared<DatasetSource>(ImageDataset::open(path, split)); }
    return std::make_shared<DatasetSource>(open_for_evaluation(path));
  }
  if (!split.empty()) { throw ConfigError(cat(path, ": only datasets (.h5) have a split, got \"", split, "\"")); }
  if (fs::is_directory(path)) { return std::make_shared<FolderSource>(path); }
  return std::make_shared<NpzSource>(path);
}

std::shared_ptr<const ImageSource> image_source_of(const Tensor& images, const Tensor& labels) {
  return std::make_shared<TensorSource>(images, labels);
}

}  // namespace terrace
