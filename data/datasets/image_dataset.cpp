#include "data/datasets/image_dataset.h"

#include <algorithm>
#include <set>

#include "tensor/base/error.h"
#include "tensor/base/names.h"
#include "tensor/device/interruption.h"

namespace terrace {
namespace {

constexpr const char* kKind = "terrace-images";
// A chunk holds a few images, so that random access reads little more than it uses.
constexpr int64_t kChunkBytes = 16 << 10;
// Images are written and verified in blocks of this size.
constexpr int64_t kBlockBytes = 4 << 20;
constexpr int64_t kMaxSide = 1 << 14;

/// What the hash of a split covers: the extents and the bytes of both arrays (docs/datasets.md).
std::string content_hash_of(int64_t count, int64_t height, int64_t width, const Sha256& images, const Sha256& labels) {
  const std::string text = cat(count, " ", height, " ", width, "\n", images.hex(), "\n", labels.hex(), "\n");
  return "sha256:" + sha256_hex(text.data(), text.size());
}

void check_dataset(const Hdf5File& file) {
  if (!file.has_attr("/", "kind") || file.read_attr_string("/", "kind") != kKind) {
    throw IoError(cat(file.path(), ": not an image dataset (attribute \"kind\" is not \"", kKind,
                      "\"); prepare_data makes them"));
  }
  const int64_t version = file.read_attr_int("/", "version");
  if (version != kDatasetVersion) {
    throw IoError(cat(file.path(), ": dataset version ", version, "; this program reads version ", kDatasetVersion));
  }
}

std::vector<std::string> splits_of(const Hdf5File& file) {
  std::vector<std::string> names = file.list_groups("/");
  std::erase_if(names, [&](const std::string& name) { return !file.is_dataset(name + "/images"); });
  return names;
}

}  // namespace

// --- Reading ---

struct ImageDataset::Impl {
  Hdf5File file;
  std::string split, source, content_hash;
  int64_t size = 0, height = 0, width = 0;
  std::vector<std::string> class_names;
  Tensor labels;

  Impl(Hdf5File file_, const std::string& split_) : file(std::move(file_)), split(split_) {}
};

ImageDataset ImageDataset::open(const std::string& path, const std::string& split) {
  auto impl = std::make_shared<Impl>(Hdf5File::open(path), split);
  const Hdf5File& file = impl->file;
  check_dataset(file);
  const std::vector<std::string> known = splits_of(file);
  if (std::find(known.begin(), known.end(), split) == known.end()) {
    throw IoError(cat(path, ": no split \"", split, "\"; it has: ", known.empty() ? "none" : join_names(known)));
  }

  impl->source = file.read_attr_string("/", "source");
  impl->class_names = file.read_strings("class_names");
  impl->content_hash = file.read_attr_string(split, "content_hash");
  const Hdf5DatasetInfo images = file.info(split + "/images");
  const Shape& shape = images.shape;
  if (images.is_string || images.dtype != DType::kU8 || shape.size() != 4 || shape[3] != 3) {
    throw IoError(cat(path, ": \"", split, "/images\" must be u8 (N, H, W, 3), it is ", images.dtype, " ", shape));
  }
  impl->size = shape[0];
  impl->height = shape[1];
  impl->width = shape[2];
  if (impl->height < 1 || impl->width < 1) {
    throw IoError(cat(path, ": \"", split, "/images\" has no pixels: ", shape));
  }
  if (impl->height > kMaxSide || impl->width > kMaxSide) {
    throw IoError(cat(path, ": \"", split, "/images\" has sides beyond ", kMaxSide, " pixels: ", shape));
  }
  impl->labels = file.read(split + "/labels", DType::kI64);
  if (impl->labels.shape() != Shape{impl->size}) {
    throw IoError(
        cat(path, ": \"", split, "/labels\" must be (N) with N = ", impl->size, ", it is ", impl->labels.shape()));
  }
  const int64_t classes = static_cast<int64_t>(impl->class_names.size());
  const int64_t* label = impl->labels.data<int64_t>();
  for (int64_t i = 0; i < impl->size; ++i) {
    if (label[i] < 0 || label[i] >= classes) {
      throw IoError(cat(path, ": \"", split, "/labels\"[", i, "] is ", label[i], "; there are ", classes, " classes"));
    }
  }
  return ImageDataset(std::move(impl));
}

std::vector<std::string> ImageDataset::splits(const std::string& path) {
  const Hdf5File file = Hdf5File::open(path);
  check_dataset(file);
  return splits_of(file);
}

const std::string& ImageDataset::path() const { return impl_->file.path(); }
const std::string& ImageDataset::split() const { return impl_->split; }
int64_t ImageDataset::size() const { return impl_->size; }
int64_t ImageDataset::height() const { return impl_->height; }
int64_t ImageDataset::width() const { return impl_->width; }
int64_t ImageDataset::num_classes() const { return static_cast<int64_t>(impl_->class_names.size()); }
const std::vector<std::string>& ImageDataset::class_names() const { return impl_->class_names; }
const std::string& ImageDataset::source() const { return impl_->source; }
const std::string& ImageDataset::content_hash() const { return impl_->content_hash; }
const Tensor& ImageDataset::labels() const { return impl_->labels; }

Tensor ImageDataset::images(int64_t begin, int64_t end) const {
  interruption_point();
  return impl_->file.read_rows(impl_->split + "/images", begin, end);
}

Tensor ImageDataset::images(const std::vector<int64_t>& rows) const {
  const int64_t count = static_cast<int64_t>(rows.size());
  Tensor taken = Tensor::empty({count, height(), width(), 3}, DType::kU8);
  for (int64_t begin = 0, end = 0; begin < count; begin = end) {  // consecutive rows are read at once
    for (end = begin + 1; end < count && rows[static_cast<size_t>(end)] == rows[static_cast<size_t>(end - 1)] + 1;) {
      ++end;
    }
    const int64_t row = rows[static_cast<size_t>(begin)];
    taken.slice(0, begin, end).copy_(images(row, row + end - begin));
  }
  return taken;
}

Tensor ImageDataset::image(int64_t index) const { return images(index, index + 1).select(0, 0); }

void ImageDataset::verify_content() const {
  Sha256 images_hash, labels_hash;
  const int64_t block = std::max<int64_t>(kBlockBytes / (height() * width() * 3), 1);
  for (int64_t begin = 0; begin < size(); begin += block) {
    const Tensor part = images(begin, std::min(begin + block, size()));
    images_hash.update(part.raw_data(), static_cast<size_t>(part.numel()));
  }
  labels_hash.update(labels().raw_data(), static_cast<size_t>(labels().numel()) * sizeof(int64_t));
  const std::string found = content_hash_of(size(), height(), width(), images_hash, labels_hash);
  if (found != content_hash()) {
    throw IoError(cat(path(), ": the content of split \"", split(), "\" is not what was written: hash ", found,
                      ", stored ", content_hash()));
  }
}

ImageDataset open_with_images(const std::string& path, const std::string& split) {
  ImageDataset dataset = ImageDataset::open(path, split);
  if (dataset.size() == 0) {
    throw IoError(
        cat(path, ": split \"", split, "\" has no images; make the dataset with some, or without that split"));
  }
  return dataset;
}

std::optional<ImageDataset> open_held_out(const std::string& path) {
  const std::vector<std::string> splits = ImageDataset::splits(path);
  for (const char* name : {"test", "val"}) {
    if (std::find(splits.begin(), splits.end(), name) != splits.end()) { return open_with_images(path, name); }
  }
  return std::nullopt;
}

ImageDataset open_for_evaluation(const std::string& path) {
  const std::optional<ImageDataset> held_out = open_held_out(path);
  return held_out ? *held_out : open_with_images(path, "train");
}

// --- Writing ---

ImageDatasetWriter::ImageDatasetWriter(const std::string& path, int64_t height, int64_t width,
                                       std::vector<std::string> class_names, const std::string& source,
                                       Compression compression)
    : file_(Hdf5File::create(path)),
      height_(height),
      width_(width),
      class_names_(std::move(class_names)),
      compression_(compression) {
  if (height_ < 1 || width_ < 1 || height_ > kMaxSide || width_ > kMaxSide) {
    throw ShapeError(
        cat("ImageDatasetWriter: images must be 1..", kMaxSide, " pixels a side, got ", height_, " x ", width_));
  }
  if (class_names_.empty()) { throw ShapeError("ImageDatasetWriter: there must be at least one class"); }
  file_.write_attr_string("/", "kind", kKind);
  file_.write_attr_int("/", "version", kDatasetVersion);
  file_.write_attr_string("/", "source", source);
  file_.write_strings("class_names", class_names_);
}

void ImageDatasetWriter::begin_split(const std::string& name) {
  end_split();
  if (name.empty() || name.find('/') != std::string::npos) {
    throw IoError(cat("ImageDatasetWriter: \"", name, "\" cannot name a split"));
  }
  split_ = name;
  written_ = 0;
  image_hash_ = Sha256();
  label_hash_ = Sha256();
  const int64_t rows = std::max<int64_t>(kChunkBytes / (height_ * width_ * 3), 1);
  file_.create_rows(name + "/images", {height_, width_, 3}, DType::kU8,
                    {.chunk_rows = rows, .compression = compression_});
  file_.create_rows(name + "/labels", {}, DType::kI64);
}

void ImageDatasetWriter::append(const Tensor& image, int64_t label) {
  append(image, Tensor::from(std::vector<int64_t>{label}, {1}));
}

void ImageDatasetWriter::append(const Tensor& images, const Tensor& labels) {
  constexpr const char* kOp = "ImageDatasetWriter::append";
  interruption_point();
  if (split_.empty()) { throw IoError(cat(kOp, ": begin_split() comes first")); }
  const Tensor batch = (images.ndim() == 3 ? images.unsqueeze(0) : images).contiguous();
  const Tensor classes = labels.reshape({-1}).contiguous();
  check_dtype(batch, DType::kU8, kOp, "images");
  check_dtype(classes, DType::kI64, kOp, "labels");
  check_shape(batch, {classes.numel(), height_, width_, 3}, kOp, "images");
  const int64_t* label = classes.data<int64_t>();
  for (int64_t i = 0; i < classes.numel(); ++i) {
    if (label[i] < 0 || label[i] >= static_cast<int64_t>(class_names_.size())) {
      throw IndexError(cat(kOp, ": label ", label[i], "; there are ", class_names_.size(), " classes"));
    }
  }
  const uint8_t* bytes = batch.data<uint8_t>();
  pending_images_.insert(pending_images_.end(), bytes, bytes + batch.numel());
  pending_labels_.insert(pending_labels_.end(), label, label + classes.numel());
  if (static_cast<int64_t>(pending_images_.size()) >= kBlockBytes) { flush(); }
}

void ImageDatasetWriter::flush() {
  const int64_t count = static_cast<int64_t>(pending_labels_.size());
  if (count == 0) { return; }
  image_hash_.update(pending_images_.data(), pending_images_.size());
  label_hash_.update(pending_labels_.data(), pending_labels_.size() * sizeof(int64_t));
  file_.append_rows(split_ + "/images", Tensor::from(pending_images_, {count, height_, width_, 3}));
  file_.append_rows(split_ + "/labels", Tensor::from(pending_labels_, {count}));
  written_ += count;
  pending_images_.clear();
  pending_labels_.clear();
}

void ImageDatasetWriter::end_split() {
  if (split_.empty()) { return; }
  flush();
  file_.write_attr_string(split_, "content_hash", content_hash_of(written_, height_, width_, image_hash_, label_hash_));
  split_.clear();
}

void ImageDatasetWriter::annotate(const std::string& name, const std::string& value) {
  static const std::set<std::string> kOwn = {"kind", "version", "source"};
  if (kOwn.count(name) > 0) {
    throw IoError(cat("ImageDatasetWriter: the attribute \"", name, "\" is the format's own"));
  }
  file_.write_attr_string("/", name, value);
}

void ImageDatasetWriter::commit() {
  end_split();
  file_.commit();
}

void create_dataset(const std::string& path, const std::string& split, const Tensor& images, const Tensor& labels,
                    const std::vector<std::string>& class_names, const std::string& source) {
  check_ndim(images, 4, "create_dataset", "images");
  ImageDatasetWriter writer(path, images.dim(1), images.dim(2), class_names, source);
  writer.begin_split(split);
  writer.append(images, labels);
  writer.commit();
}

}  // namespace terrace
