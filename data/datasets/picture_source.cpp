#include "data/datasets/picture_source.h"

#include <algorithm>
#include <filesystem>

#include "data/images/image_file.h"
#include "data/images/resize.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

}  // namespace

PictureSource::PictureSource(const std::vector<std::string>& paths, const std::string& split, int64_t limit) {
  for (const std::string& path : paths) {
    if (fs::is_directory(path)) {
      add_folder(path, limit);
    } else if (lower_extension(path) == ".h5") {
      add_dataset(path, split, limit);
    } else {
      entries_.push_back({.name = path});
    }
  }
}

void PictureSource::add_folder(const std::string& path, int64_t limit) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    if (entry.is_regular_file() && is_picture_name(entry.path())) { files.push_back(entry.path().string()); }
  }
  if (files.empty()) { throw IoError(cat(path, ": holds no .png, .jpg or .jpeg file")); }
  std::sort(files.begin(), files.end());
  if (limit > 0 && limit < static_cast<int64_t>(files.size())) { files.resize(static_cast<size_t>(limit)); }
  for (const std::string& file : files) { entries_.push_back({.name = file}); }
}

void PictureSource::add_dataset(const std::string& path, const std::string& split, int64_t limit) {
  const ImageDataset dataset = split.empty() ? open_for_evaluation(path) : ImageDataset::open(path, split);
  datasets_.push_back(dataset);
  for (const int64_t row : part_of(dataset.size(), limit)) {
    entries_.push_back({.name = cat(path, "/", dataset.split(), "/", row),
                        .dataset = static_cast<int64_t>(datasets_.size()) - 1,
                        .row = row});
  }
}

Tensor PictureSource::load(int64_t i, int64_t side) const {
  const Entry& entry = entries_[static_cast<size_t>(i)];
  const Tensor picture =
      entry.dataset < 0 ? read_image(entry.name) : datasets_[static_cast<size_t>(entry.dataset)].image(entry.row);
  return resize_and_crop(picture, side, ResizeFilter::kLanczos);
}

}  // namespace terrace
