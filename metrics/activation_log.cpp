#include "metrics/activation_log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "data/files/positional_io.h"
#include "data/files/sha256.h"

namespace terrace {
namespace {

constexpr int64_t kDigest = 64, kHeader = kDigest + 3 * sizeof(int64_t);
constexpr int64_t kMaxColumns = 1 << 20;
constexpr int64_t kFloat = sizeof(float);

[[noreturn]] void fail(const char* doing, const std::string& path) {
  throw IoError(cat("cannot ", doing, " ", path, ": ", std::strerror(errno)));
}

}  // namespace

std::unique_ptr<ActivationLog> ActivationLog::open(const std::string& path, const std::string& key) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) { fail("write", path); }
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    ::close(descriptor);
    return nullptr;
  }
  return std::unique_ptr<ActivationLog>(new ActivationLog(path, key, descriptor));
}

ActivationLog::ActivationLog(std::string path, const std::string& key, int descriptor)
    : path_(std::move(path)), digest_(sha256_hex(key.data(), key.size())), descriptor_(descriptor) {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0 || status.st_size < kHeader) { return; }
  std::string header(static_cast<size_t>(kHeader), '\0');
  if (!read_at(descriptor_, header.data(), kHeader, 0)) { fail("read", path_); }
  if (header.substr(0, kDigest) != digest_) { return; }
  std::memcpy(widths_, header.data() + kDigest, sizeof widths_);
  for (const int64_t w : widths_) {
    if (w < 0 || w > kMaxColumns) { throw IoError(cat("cannot read ", path_, ": ", w, " columns; it is damaged")); }
  }
  if (width() == 0) { return; }
  size_ = (status.st_size - kHeader) / (width() * kFloat);
}

int64_t ActivationLog::place(int64_t row) const { return kHeader + row * width() * kFloat; }

ActivationLog::~ActivationLog() { ::close(descriptor_); }

Activations ActivationLog::read(int64_t begin, int64_t end) const {
  if (begin < 0 || begin > end || end > size_) {
    throw IndexError(cat("activations [", begin, ", ", end, ") of ", size_));
  }
  const int64_t rows = end - begin;
  const Tensor records = Tensor::empty({rows, width()});
  if (!read_at(descriptor_, records.raw_data(), records.numel() * kFloat, place(begin))) { fail("read", path_); }
  Tensor parts[3];
  int64_t column = 0;
  for (int64_t i = 0; i < 3; column += widths_[i++]) {
    if (widths_[i] > 0) { parts[i] = records.slice(1, column, column + widths_[i]).contiguous(); }
  }
  return {.features = parts[0], .spatial = parts[1], .logits = parts[2]};
}

void ActivationLog::append(const Activations& activations) {
  const Tensor* parts[3] = {&activations.features, &activations.spatial, &activations.logits};
  const int64_t rows = activations.features.dim(0);
  if (size_ == 0) {
    for (int64_t i = 0; i < 3; ++i) { widths_[i] = parts[i]->defined() ? parts[i]->dim(1) : 0; }
    std::string header = digest_;
    header.append(reinterpret_cast<const char*>(widths_), sizeof widths_);
    if (!write_at(descriptor_, header.data(), kHeader, 0)) { fail("write", path_); }
  }
  Tensor records = Tensor::empty({rows, width()});
  int64_t column = 0;
  for (int64_t i = 0; i < 3; column += widths_[i++]) {
    if (widths_[i] == 0) { continue; }
    check_shape(*parts[i], {rows, widths_[i]}, "activations", "a part");
    records.slice(1, column, column + widths_[i]).copy_(*parts[i]);
  }
  if (!write_at(descriptor_, records.raw_data(), records.numel() * kFloat, place(size_)) ||
      ::fdatasync(descriptor_) != 0) {
    fail("write", path_);
  }
  size_ += rows;
}

void ActivationLog::remove() { ::unlink(path_.c_str()); }

}  // namespace terrace
