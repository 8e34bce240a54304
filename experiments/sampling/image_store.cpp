#include "experiments/sampling/image_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "data/files/atomic_file.h"
#include "data/files/checksum.h"
#include "data/files/json_differences.h"
#include "data/files/positional_io.h"
#include "tensor/base/error.h"
#include "tensor/base/notes.h"

namespace terrace {
namespace {

constexpr const char* kPixels = "images.partial";
constexpr const char* kKey = "images.partial.json";

[[noreturn]] void fail(const char* doing, const std::string& path) {
  throw IoError(cat("cannot ", doing, " ", path, ": ", std::strerror(errno)));
}

}  // namespace

void require_same_images(const Json& key, const Json& there, const std::string& folder) {
  const std::string differences = json_differences(there, key);
  if (differences.empty()) { return; }
  throw ConfigError(cat("--resume: ", folder, " holds images of ", differences,
                        "; give --overwrite in its place to replace them, or another folder with --out"));
}

std::vector<std::string> ImageStore::file_names() { return {kPixels, kKey}; }

bool ImageStore::holds_run(const std::string& folder) { return std::filesystem::exists(folder + "/" + kKey); }

/// What the images in the folder depend on.
CheckedJson ImageStore::stored_key(const std::string& folder) {
  return read_checked_json(
      folder + "/" + kKey,
      "give --overwrite in place of --resume to draw all images again, or another folder with --out");
}

void ImageStore::check_resumable(const std::string& folder, const Json& key) {
  if (holds_run(folder)) { require_same_images(key, stored_key(folder).value, folder); }
}

ImageStore::ImageStore(const std::string& folder, const Json& key, int64_t side, Start start)
    : path_(folder + "/" + kPixels), key_path_(folder + "/" + kKey), side_(side) {
  bool goes_on = false;
  if (start == Start::kResume && holds_run(folder)) {
    check_resumable(folder, key);
    goes_on = stored_key(folder).has_checksum;
    if (!goes_on) { note(cat(path_, " is of an earlier version, without checksums; its images are drawn again")); }
  }
  if (!goes_on) {
    std::filesystem::remove(path_);
    write_file(key_path_, checked_json_text(key));
  }
  file_ = Descriptor(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!file_.valid()) { fail("write", path_); }
  struct stat status {};
  if (::fstat(file_.number(), &status) != 0) { fail("read", path_); }
  truncate(whole_images(status.st_size / record_bytes()));
}

int64_t ImageStore::image_bytes() const { return side_ * side_ * 3; }
int64_t ImageStore::record_bytes() const { return image_bytes() + static_cast<int64_t>(sizeof(uint64_t)); }

/// Of the image and its place: an image that lies elsewhere is damage too.
uint64_t ImageStore::checksum_of(const uint8_t* pixels, int64_t place) const {
  Checksum checksum;
  checksum.update(&place, sizeof place);
  checksum.update(pixels, static_cast<size_t>(image_bytes()));
  return checksum.value();
}

bool ImageStore::read_image(int64_t place, std::vector<uint8_t>& record) const {
  record.resize(static_cast<size_t>(record_bytes()));
  if (!read_at(file_.number(), record.data(), record_bytes(), place * record_bytes())) { fail("read", path_); }
  uint64_t stored = 0;
  std::memcpy(&stored, record.data() + image_bytes(), sizeof stored);
  return stored == checksum_of(record.data(), place);
}

/// Of so many images, those before the first that is damaged.
int64_t ImageStore::whole_images(int64_t count) const {
  std::vector<uint8_t> record;
  for (int64_t i = 0; i < count; ++i) {
    if (read_image(i, record)) { continue; }
    note(cat(path_, ": image ", i + 1, " of ", count, " is damaged; it and those after it are drawn again"));
    return i;
  }
  return count;
}

void ImageStore::truncate(int64_t count) {
  if (!truncate_to(file_.number(), count * record_bytes())) { fail("write", path_); }
  size_ = count;
}

void ImageStore::append(const Tensor& images) {
  check_dtype(images, DType::kU8, "ImageStore::append", "images");
  check_shape(images, {images.dim(0), side_, side_, 3}, "ImageStore::append", "images");
  const Tensor rows = images.contiguous();
  const int64_t count = images.dim(0);
  std::vector<uint8_t> records(static_cast<size_t>(count * record_bytes()));
  for (int64_t i = 0; i < count; ++i) {
    uint8_t* record = records.data() + i * record_bytes();
    std::memcpy(record, rows.data<uint8_t>() + i * image_bytes(), static_cast<size_t>(image_bytes()));
    const uint64_t checksum = checksum_of(record, size_ + i);
    std::memcpy(record + image_bytes(), &checksum, sizeof checksum);
  }
  if (!write_at(file_.number(), records.data(), count * record_bytes(), size_ * record_bytes()) ||
      !sync_data(file_.number())) {
    fail("write", path_);
  }
  size_ += count;
}

Tensor ImageStore::read(int64_t begin, int64_t end) const {
  if (begin < 0 || begin > end || end > size_) {
    throw IndexError(cat("ImageStore::read: [", begin, ", ", end, ") is outside of ", size_, " images"));
  }
  Tensor images = Tensor::empty({end - begin, side_, side_, 3}, DType::kU8);
  std::vector<uint8_t> record;
  for (int64_t i = begin; i < end; ++i) {
    if (!read_image(i, record)) {
      throw IoError(cat("cannot read ", path_, ": image ", i + 1, " was damaged while this run went on; ",
                        "add --resume to the same command to draw it again"));
    }
    std::memcpy(images.data<uint8_t>() + (i - begin) * image_bytes(), record.data(),
                static_cast<size_t>(image_bytes()));
  }
  return images;
}

void ImageStore::remove() {
  file_.close();
  size_ = 0;
  std::filesystem::remove(path_);
  std::filesystem::remove(key_path_);
}

}  // namespace terrace
