// Pictures from wherever a user has them: PNG and JPEG files, folders of these, datasets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/datasets/image_dataset.h"
#include "tensor/tensor.h"

namespace terrace {

class PictureSource {
 public:
  /// `paths`: files (.png .jpg .jpeg), folders, whose pictures are taken at any depth and by name, and datasets (.h5),
  /// of which `split` is taken; "": the held-out split, else train. limit > 0: of a folder the first so many, of a
  /// dataset those of part_of. Throws IoError where something is not there or a folder holds no picture.
  PictureSource(const std::vector<std::string>& paths, const std::string& split, int64_t limit);

  int64_t size() const { return static_cast<int64_t>(entries_.size()); }
  /// The file's path, or that of the dataset with split and row: "data.h5/test/12".
  const std::string& name(int64_t i) const { return entries_[static_cast<size_t>(i)].name; }
  /// The square of `side` in the middle, after resizing the short side by Lanczos' filter: u8 (side, side, 3).
  Tensor load(int64_t i, int64_t side) const;

 private:
  struct Entry {
    std::string name;
    int64_t dataset = -1;  // position in datasets_; -1: a file
    int64_t row = 0;
  };
  void add_folder(const std::string& path, int64_t limit);
  void add_dataset(const std::string& path, const std::string& split, int64_t limit);

  std::vector<Entry> entries_;
  std::vector<ImageDataset> datasets_;
};

}  // namespace terrace
