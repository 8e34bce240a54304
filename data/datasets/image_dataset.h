// Image datasets in HDF5. The schema is docs/datasets.md: a group a split ("train", "test"), each with images u8
// (N, H, W, 3) and labels i64 (N); class names and the source at the root; a SHA-256 of the content per split.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/files/sha256.h"
#include "data/hdf5/file.h"
#include "tensor/tensor.h"

namespace terrace {

inline constexpr int64_t kDatasetVersion = 1;

/// One split of a dataset, open for reading. Cheap to copy; copies share the file. Safe to use from several threads.
class ImageDataset {
 public:
  /// Checks the schema (kind, version, shapes, types, label range, class names). Throws IoError that names what is
  /// wrong.
  static ImageDataset open(const std::string& path, const std::string& split = "train");
  static std::vector<std::string> splits(const std::string& path);

  const std::string& path() const;
  const std::string& split() const;
  int64_t size() const;  // N
  int64_t height() const;
  int64_t width() const;
  int64_t num_classes() const;
  const std::vector<std::string>& class_names() const;
  const std::string& source() const;
  const std::string& content_hash() const;  // "sha256:..." as stored
  const Tensor& labels() const;             // i64 (N), in memory

  Tensor images(int64_t begin, int64_t end) const;  // u8 (end-begin, H, W, 3)
  Tensor images(const std::vector<int64_t>& rows) const;
  Tensor image(int64_t index) const;  // u8 (H, W, 3)

  /// Recomputes the hash of the content; IoError where it is not the stored one.
  void verify_content() const;

 private:
  struct Impl;
  explicit ImageDataset(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

/// Opens a split that is to be trained or evaluated on: IoError where it has no images.
ImageDataset open_with_images(const std::string& path, const std::string& split);
/// The split that nothing is trained on: "test" where there is one, else "val", else none. IoError where it is empty.
std::optional<ImageDataset> open_held_out(const std::string& path);
/// The held-out split, else "train".
ImageDataset open_for_evaluation(const std::string& path);

/// Streams a dataset into a file in bounded memory; splits may be written in any order, one after another.
class ImageDatasetWriter {
 public:
  /// `source` says in one line where the images come from, for the reader.
  ImageDatasetWriter(const std::string& path, int64_t height, int64_t width, std::vector<std::string> class_names,
                     const std::string& source, Compression compression = Compression::kNone);

  void begin_split(const std::string& name);
  /// images u8 (n, H, W, 3) or one (H, W, 3); labels i64 (n) or one.
  void append(const Tensor& images, const Tensor& labels);
  void append(const Tensor& image, int64_t label);
  /// A remark kept as a string attribute at the root (seed, options ...).
  void annotate(const std::string& name, const std::string& value);
  void commit();  // without it nothing is left

 private:
  void flush();
  void end_split();
  Hdf5File file_;
  int64_t height_, width_;
  std::vector<std::string> class_names_;
  Compression compression_;
  std::string split_;
  int64_t written_ = 0;                  // images of the split that are in the file
  std::vector<uint8_t> pending_images_;  // collected until a block is full
  std::vector<int64_t> pending_labels_;
  Sha256 image_hash_, label_hash_;
};

/// A whole dataset at once, with one split: for tests and small sets.
void create_dataset(const std::string& path, const std::string& split, const Tensor& images, const Tensor& labels,
                    const std::vector<std::string>& class_names, const std::string& source);

}  // namespace terrace
