#include "data/datasets/image_source.h"

#include <algorithm>
#include <filesystem>

#include "data/datasets/image_dataset.h"
#include "data/datasets/subset.h"
#include "data/formats/open_tensor_file.h"
#include "data/images/image_file.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

enum class HiddenFiles : uint8_t { kSkip, kTake };

/// All pictures below a folder, in no order. Throws IoError where it cannot be listed.
std::vector<fs::path> pictures_below(const std::string& folder, HiddenFiles hidden_files) {
  const auto skipped = [&](const fs::path& path) {
    return hidden_files == HiddenFiles::kSkip && path.filename().string().starts_with('.');
  };
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (skipped(entry->path())) {
      entry.disable_recursion_pending();
    } else if (entry->is_regular_file() && is_picture_name(entry->path())) {
      files.push_back(entry->path());
    }
  }
  if (error) { throw IoError(cat("cannot read ", folder, ": ", error.message())); }
  return files;
}

/// Holds the labels, where there are some, and the names of the classes.
class LabelledSource : public ImageSource {
 public:
  int64_t label(int64_t i) const override { return labels_.empty() ? -1 : labels_[static_cast<size_t>(i)]; }
  const std::vector<std::string>& class_names() const override { return classes_; }
  bool separate_files() const override { return false; }

 protected:
  std::vector<int64_t> labels_;
  std::vector<std::string> classes_;
};

class FilesSource : public LabelledSource {
 public:
  explicit FilesSource(std::vector<fs::path> files, std::vector<int64_t> labels = {},
                       std::vector<std::string> class_names = {})
      : files_(std::move(files)) {
    labels_ = std::move(labels);
    classes_ = std::move(class_names);
  }
  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  std::string name(int64_t i) const override { return files_.at(static_cast<size_t>(i)).string(); }
  Tensor image(int64_t i) const override { return read_image(name(i)); }
  bool separate_files() const override { return true; }

 protected:
  std::vector<fs::path> files_;
};

class FolderSource : public FilesSource {
 public:
  explicit FolderSource(const std::string& folder) : FilesSource(pictures_below(folder, HiddenFiles::kSkip)) {
    if (files_.empty()) { throw IoError(cat("cannot read ", folder, ": it holds no .png, .jpg or .jpeg file")); }
    std::sort(files_.begin(), files_.end());
    find_classes(folder);
  }

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
  std::string name(int64_t i) const override { return cat(file_.path(), "/", i); }
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
  std::string name(int64_t i) const override { return cat(dataset_.path(), "/", dataset_.split(), "/", i); }
  Tensor image(int64_t i) const override { return dataset_.image(i); }

 private:
  ImageDataset dataset_;
};

/// Some images of another source.
class PartSource : public ImageSource {
 public:
  PartSource(std::shared_ptr<const ImageSource> whole, std::vector<int64_t> rows)
      : whole_(std::move(whole)), rows_(std::move(rows)) {}
  int64_t size() const override { return static_cast<int64_t>(rows_.size()); }
  std::string name(int64_t i) const override { return whole_->name(row(i)); }
  Tensor image(int64_t i) const override { return whole_->image(row(i)); }
  int64_t label(int64_t i) const override { return whole_->label(row(i)); }
  const std::vector<std::string>& class_names() const override { return whole_->class_names(); }
  bool separate_files() const override { return whole_->separate_files(); }

 private:
  int64_t row(int64_t i) const { return rows_.at(static_cast<size_t>(i)); }
  std::shared_ptr<const ImageSource> whole_;
  std::vector<int64_t> rows_;
};

/// Sources one after the other. Their classes differ, so none are told.
class ConcatenatedSource : public LabelledSource {
 public:
  explicit ConcatenatedSource(std::vector<std::shared_ptr<const ImageSource>> parts) : parts_(std::move(parts)) {
    for (const auto& part : parts_) {
      size_ += part->size();
      ends_.push_back(size_);
    }
  }
  int64_t size() const override { return size_; }
  std::string name(int64_t i) const override {
    const auto [part, row] = find(i);
    return part->name(row);
  }
  Tensor image(int64_t i) const override {
    const auto [part, row] = find(i);
    return part->image(row);
  }

 private:
  struct Place {
    const ImageSource* part;
    int64_t row;
  };
  Place find(int64_t i) const {
    const size_t p = static_cast<size_t>(std::upper_bound(ends_.begin(), ends_.end(), i) - ends_.begin());
    return {parts_.at(p).get(), i - (p == 0 ? 0 : ends_[p - 1])};
  }

  std::vector<std::shared_ptr<const ImageSource>> parts_;
  std::vector<int64_t> ends_;  // of each part, in the whole
  int64_t size_ = 0;
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
  std::string name(int64_t i) const override { return std::to_string(i); }
  Tensor image(int64_t i) const override { return images_.select(0, i).contiguous(); }

 private:
  Tensor images_;
};

std::shared_ptr<const ImageSource> open_dataset(const std::string& path, const std::string& split, int64_t limit) {
  const auto whole =
      std::make_shared<DatasetSource>(split.empty() ? open_for_evaluation(path) : open_with_images(path, split));
  return part_of_source(whole, limit);
}

/// The first `limit` pictures of a folder by name, all where it is 0.
std::shared_ptr<const ImageSource> open_first_pictures(const std::string& folder, int64_t limit) {
  std::vector<fs::path> files = pictures_below(folder, HiddenFiles::kTake);
  if (files.empty()) { throw IoError(cat(folder, ": holds no .png, .jpg or .jpeg file")); }
  // By the characters of the whole path: "a-b/1.png" comes before "a/1.png".
  std::sort(files.begin(), files.end(), [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  if (limit > 0 && limit < static_cast<int64_t>(files.size())) { files.resize(static_cast<size_t>(limit)); }
  return std::make_shared<FilesSource>(std::move(files));
}

}  // namespace

bool is_dataset_name(const std::string& path) {
  const std::string ending = lower_extension(path);
  return (ending == ".h5" || ending == ".hdf5") && !fs::is_directory(path);
}

std::shared_ptr<const ImageSource> open_image_source(const std::string& path, const std::string& split) {
  if (is_dataset_name(path)) { return open_dataset(path, split, 0); }
  if (!split.empty()) { throw ConfigError(cat(path, ": only datasets (.h5) have a split, got \"", split, "\"")); }
  if (fs::is_directory(path)) { return std::make_shared<FolderSource>(path); }
  return std::make_shared<NpzSource>(path);
}

std::shared_ptr<const ImageSource> open_image_sources(const std::vector<std::string>& paths, const std::string& split,
                                                      int64_t limit) {
  std::vector<std::shared_ptr<const ImageSource>> parts;
  for (const std::string& path : paths) {
    if (fs::is_directory(path)) {
      parts.push_back(open_first_pictures(path, limit));
    } else if (is_dataset_name(path)) {
      parts.push_back(open_dataset(path, split, limit));
    } else if (const auto image = open_dataset_image(path)) {
      parts.push_back(image);
    } else {
      parts.push_back(open_image_files({path}));
    }
  }
  return std::make_shared<ConcatenatedSource>(std::move(parts));
}

std::shared_ptr<const ImageSource> open_dataset_image(const std::string& name) {
  const fs::path path(name);
  const std::string row = path.filename().string(), split = path.parent_path().filename().string();
  const std::string dataset = path.parent_path().parent_path().string();
  const bool is_row = !row.empty() && row.size() <= 18 && row.find_first_not_of("0123456789") == std::string::npos;
  if (!is_row || split.empty() || !is_dataset_name(dataset)) { return nullptr; }
  auto whole = std::make_shared<DatasetSource>(open_with_images(dataset, split));
  const int64_t index = std::stoll(row);
  if (index >= whole->size()) {
    throw ConfigError(cat(name, ": split \"", split, "\" has ", whole->size(), " images, 0 to ", whole->size() - 1));
  }
  return std::make_shared<PartSource>(std::move(whole), std::vector<int64_t>{index});
}

std::shared_ptr<const ImageSource> open_image_files(const std::vector<std::string>& paths, std::vector<int64_t> labels,
                                                    std::vector<std::string> class_names) {
  return std::make_shared<FilesSource>(std::vector<fs::path>(paths.begin(), paths.end()), std::move(labels),
                                       std::move(class_names));
}

std::shared_ptr<const ImageSource> part_of_source(std::shared_ptr<const ImageSource> source, int64_t count) {
  if (count == 0 || count >= source->size()) { return source; }
  std::vector<int64_t> rows = part_of(source->size(), count);
  return std::make_shared<PartSource>(std::move(source), std::move(rows));
}

std::shared_ptr<const ImageSource> image_source_of(const Tensor& images, const Tensor& labels) {
  return std::make_shared<TensorSource>(images, labels);
}

}  // namespace terrace
