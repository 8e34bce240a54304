// The images of one side of an evaluation: all of a set, a part of it, or those of a run.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/datasets/image_source.h"

namespace terrace {

/// The images of a run of sample, edit or reconstruct, as its run.json lists them.
struct RunImages {
  std::string program;
  std::vector<std::string> files;        // paths, in the order in which they were drawn
  std::vector<std::string> others;       // pictures in the folder that run.json does not list, relative to it
  std::vector<int64_t> labels;           // of each file, its place in class_names; -1: drawn without a class
  std::vector<std::string> class_names;  // both empty where run.json does not tell them
};

/// nullopt where the folder holds no run.json, or that of an evaluation alone. Of an earlier version's run, whose
/// run.json lists no files, the images are those that the names and the number of images tell: neither the grid nor the
/// strips over the scales. Throws ConfigError where the run is unfinished or has no files of images, where run.json is
/// damaged, or where the names of an earlier version tell two images of one number; IoError where an image is missing.
std::optional<RunImages> images_of_run(const std::string& folder);

/// "--fake: 4 images that OUT/run.json lists; not this picture: images/mine.png", `what` being --fake; "" where the
/// folder holds no other pictures.
std::string left_out_text(const std::string& what, const std::string& folder, const RunImages& run);

/// Extents (height, width) and how many images have them.
using ImageSizes = std::map<std::pair<int64_t, int64_t>, int64_t>;

/// A source that remembers the extents of the images that were read.
class SizedSource : public ImageSource {
 public:
  explicit SizedSource(std::shared_ptr<const ImageSource> source)
      : source_(std::move(source)), extents_(static_cast<size_t>(source_->size())) {}
  int64_t size() const override { return source_->size(); }
  std::string name(int64_t i) const override { return source_->name(i); }
  Tensor image(int64_t i) const override;
  int64_t label(int64_t i) const override { return source_->label(i); }
  const std::vector<std::string>& class_names() const override { return source_->class_names(); }
  bool separate_files() const override { return source_->separate_files(); }

  ImageSizes sizes() const;

 private:
  std::shared_ptr<const ImageSource> source_;
  mutable std::vector<std::pair<int64_t, int64_t>> extents_;  // (0, 0): not read
};

/// "800 of 32x32, 2 of 268x134" (width x height), the most frequent first, at most five of them.
std::string describe_sizes(const ImageSizes& sizes);

/// What is at `path`, of which `limit` images are taken (all where it is 0), those of part_of.
struct SideSource {
  std::shared_ptr<const SizedSource> source;
  int64_t images_of_set = 0;  // before the limit
  std::optional<RunImages> run;
};
SideSource open_side_source(const std::string& path, const std::string& split, int64_t limit);

}  // namespace terrace
