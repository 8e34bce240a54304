// Sets of images from wherever they are, one image at a time in a fixed order, in memory that does not depend on their
// number: PNG and JPEG files and folders of them, an .npz of samples, a dataset.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace terrace {

/// For one thread at a time.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  virtual int64_t size() const = 0;
  /// What image `i` is called: the path of its file, or the path of its set with the split, if any, and the row:
  /// "data.h5/test/12".
  virtual std::string name(int64_t i) const = 0;
  /// u8 (H, W, 3); images of a folder may differ in size. Throws IoError that names the file.
  virtual Tensor image(int64_t i) const = 0;
  /// Its class, -1 where the set tells none.
  virtual int64_t label(int64_t i) const = 0;
  /// Names of the classes, where the set tells them.
  virtual const std::vector<std::string>& class_names() const = 0;
  /// Whether each image is a file of its own, so that a bad one leaves the others readable.
  virtual bool separate_files() const = 0;
};

/// Whether the name is that of a dataset: .h5 or .hdf5, and no folder.
bool is_dataset_name(const std::string& path);

/// `path`: a folder, of which all pictures at any depth are taken, by path (where all lie in subfolders, the first of
/// these is the class); an .npz with arr_0 u8 (N, H, W, 3), stored or compressed, and labels in arr_1 where it has
/// them, as samples are exchanged; a dataset (.h5), of which `split` is taken ("": "test" or "val", else "train").
/// Throws IoError naming the file where it holds no images or others than these; ConfigError for a split of what has
/// none.
std::shared_ptr<const ImageSource> open_image_source(const std::string& path, const std::string& split = "");

/// Several sets as one, without classes. `paths`: picture files (.png .jpg .jpeg), folders, of which all pictures at
/// any depth are taken, hidden ones too, by name, datasets (.h5), of which `split` is taken as above, and single images
/// of these (open_dataset_image). limit > 0: of each folder the first so many, of each dataset those of part_of
/// (data/datasets/subset.h). Throws IoError where a folder holds no picture or a dataset cannot be read; a picture file
/// is first looked at by image().
std::shared_ptr<const ImageSource> open_image_sources(const std::vector<std::string>& paths,
                                                      const std::string& split = "", int64_t limit = 0);

/// One image of a dataset under the name that it has in a source of these, "data.h5/test/12"; null where `name` is none
/// of this form. Throws IoError for what cannot be read and a split that is not there, ConfigError for a row that is
/// not.
std::shared_ptr<const ImageSource> open_dataset_image(const std::string& name);

/// Picture files in this order; `labels`, one a file, and the names of their classes where they are known.
std::shared_ptr<const ImageSource> open_image_files(const std::vector<std::string>& paths,
                                                    std::vector<int64_t> labels = {},
                                                    std::vector<std::string> class_names = {});

/// `count` images of the source, those of part_of (data/datasets/subset.h); the source itself where count is 0 or not
/// below its size.
std::shared_ptr<const ImageSource> part_of_source(std::shared_ptr<const ImageSource> source, int64_t count);

/// A tensor u8 (N, H, W, 3), with labels i64 (N) where defined.
std::shared_ptr<const ImageSource> image_source_of(const Tensor& images, const Tensor& labels = {});

}  // namespace terrace
