#include "experiments/sampling/image_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "data/files/atomic_file.h"
#include "data/files/json_differences.h"
#include "experiments/cli/run_record.h"
#include "tensor/base/error.h"

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

void ImageStore::check_resumable(const std::string& folder, const Json& key) {
  if (holds_run(folder)) { require_same_images(key, read_json_file(folder + "/" + kKey), folder); }
}

ImageStore::ImageStore(const std::string& folder, const Json& key, int64_t side, Start start)
    : path_(folder + "/" + kPixels), key_path_(folder + "/" + kKey), side_(side) {
  if (start == Start::kResume && holds_run(folder)) {
    check_resumable(folder, key);
  } else {
    std::filesystem::remove(path_);
    write_file(key_path_, json_text(key, 2) + "\n");
  }
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) { fail("write", path_); }
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) { fail("read", path_); }
  truncate(status.st_size / (side * side * 3));
}

ImageStore::~ImageStore() {
  if (descriptor_ >= 0) { ::close(descriptor_); }
}

void ImageStore::truncate(int64_t count) {
  if (::ftruncate(descriptor_, count * side_ * side_ * 3) != 0) { fail("write", path_); }
  size_ = count;
}

void ImageStore::append(const Tensor& images) {
  check_dtype(images, DType::kU8, "ImageStore::append", "images");
  check_shape(images, {images.dim(0), side_, side_, 3}, "ImageStore::append", "images");
  const Tensor rows = images.contiguous();
  const uint8_t* next = rows.data<uint8_t>();
  int64_t left = rows.numel(), at = size_ * side_ * side_ * 3;
  while (left > 0) {
    const ssize_t written = ::pwrite(descriptor_, next, static_cast<size_t>(left), at);
    if (written < 0 && errno == EINTR) { continue; }
    if (written < 0) { fail("write", path_); }
    next += written;
    at += written;
    left -= written;
  }
  if (::fdatasync(descriptor_) != 0) { fail("write", path_); }
  size_ += images.dim(0);
}

Tensor ImageStore::read(int64_t begin, int64_t end) const {
  if (begin < 0 || begin > end || end > size_) {
    throw IndexError(cat("ImageStore::read: [", begin, ", ", end, ") is outside of ", size_, " images"));
  }
  Tensor images = Tensor::empty({end - begin, side_, side_, 3}, DType::kU8);
  uint8_t* next = images.data<uint8_t>();
  int64_t left = images.numel(), at = begin * side_ * side_ * 3;
  while (left > 0) {
    const ssize_t count = ::pread(descriptor_, next, static_cast<size_t>(left), at);
    if (count < 0 && errno == EINTR) { continue; }
    if (count < 0) { fail("read", path_); }
    if (count == 0) { throw IoError(cat("cannot read ", path_, ": it became shorter")); }
    next += count;
    at += count;
    left -= count;
  }
  return images;
}

void ImageStore::remove() {
  ::close(descriptor_);
  descriptor_ = -1;
  size_ = 0;
  std::filesystem::remove(path_);
  std::filesystem::remove(key_path_);
}

}  // namespace terrace
