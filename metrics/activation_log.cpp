#include "metrics/activation_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "data/files/checksum.h"
#include "data/files/file_lock.h"
#include "data/files/positional_io.h"
#include "data/files/sha256.h"
#include "tensor/base/notes.h"

namespace terrace {
namespace {

constexpr int64_t kDigest = 64, kWidths = 3 * sizeof(int64_t), kChecked = kDigest + kWidths;
constexpr int64_t kChecksum = sizeof(uint64_t), kHeader = kChecked + kChecksum;
constexpr int64_t kRowsAtOnce = 256;
constexpr int64_t kFloat = sizeof(float);

uint64_t number_at(const std::byte* bytes) {
  uint64_t value = 0;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

[[noreturn]] void fail(const char* doing, const std::string& path) {
  throw IoError(cat("cannot ", doing, " ", path, ": ", std::strerror(errno)));
}

}  // namespace

std::unique_ptr<ActivationLog> ActivationLog::open(const std::string& path, const std::string& key) {
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!file.valid()) { fail("write", path); }
  // Who holds the lock may remove the file before it lets go.
  if (lock_file(file.number()) != FileLocking::kTaken || !is_named(file.number(), path.c_str())) { return nullptr; }
  return std::unique_ptr<ActivationLog>(new ActivationLog(path, key, std::move(file)));
}

ActivationLog::ActivationLog(std::string path, const std::string& key, Descriptor file)
    : path_(std::move(path)), digest_(sha256_hex(key.data(), key.size())), file_(std::move(file)) {
  struct stat status {};
  if (::fstat(file_.number(), &status) != 0) { fail("read", path_); }
  if (read_header(status.st_size)) {
    const int64_t whole = (status.st_size - kHeader) / record_bytes();
    while (size_ < whole) {
      const int64_t rows = std::min(kRowsAtOnce, whole - size_),
                    same = matching(read_records(size_, size_ + rows), size_);
      size_ += same;
      if (same == rows) { continue; }
      note(cat(path_, ": what it keeps of image ", size_ + 1, " of ", whole, " is damaged; it and what follows are ",
               "computed again"));
      break;
    }
  }
  if (!truncate_to(file_.number(), size_ > 0 ? place(size_) : 0)) { fail("write", path_); }
}

/// Whether the file goes on with this key; where it does not it is begun anew.
bool ActivationLog::read_header(int64_t file_size) {
  if (file_size < kHeader) { return false; }
  std::byte header[kHeader];
  if (!read_at(file_.number(), header, kHeader, 0)) { fail("read", path_); }
  if (number_at(header + kChecked) != checksum(header, kChecked)) {
    note(cat(path_, " is damaged, or of an earlier version; what it keeps of an interrupted run is computed again"));
    return false;
  }
  if (std::memcmp(header, digest_.data(), kDigest) != 0) { return false; }
  std::memcpy(widths_, header + kDigest, sizeof widths_);
  return width() > 0;
}

int64_t ActivationLog::record_bytes() const { return width() * kFloat + kChecksum; }

int64_t ActivationLog::place(int64_t row) const { return kHeader + row * record_bytes(); }

/// Of the key, the place and the activations: a record that lies elsewhere is damage too.
uint64_t ActivationLog::checksum_of(const std::byte* record, int64_t row) const {
  Checksum checksum;
  checksum.update(digest_.data(), digest_.size());
  checksum.update(&row, sizeof row);
  checksum.update(record, static_cast<size_t>(width() * kFloat));
  return checksum.value();
}

std::vector<std::byte> ActivationLog::read_records(int64_t begin, int64_t end) const {
  std::vector<std::byte> records(static_cast<size_t>((end - begin) * record_bytes()));
  if (!read_at(file_.number(), records.data(), (end - begin) * record_bytes(), place(begin))) { fail("read", path_); }
  return records;
}

/// How many of the records, the first of which is `first`, match their checksums before one that does not.
int64_t ActivationLog::matching(const std::vector<std::byte>& records, int64_t first) const {
  const auto count = static_cast<int64_t>(records.size()) / record_bytes();
  for (int64_t i = 0; i < count; ++i) {
    const std::byte* record = records.data() + i * record_bytes();
    if (number_at(record + width() * kFloat) != checksum_of(record, first + i)) { return i; }
  }
  return count;
}

Activations ActivationLog::read(int64_t begin, int64_t end) const {
  if (begin < 0 || begin > end || end > size_) {
    throw IndexError(cat("activations [", begin, ", ", end, ") of ", size_));
  }
  const int64_t rows = end - begin;
  const std::vector<std::byte> stored = read_records(begin, end);
  if (matching(stored, begin) < rows) {
    throw IoError(cat("cannot read ", path_, ": it was changed while this run went on; the same command goes on"));
  }
  const Tensor records = Tensor::empty({rows, width()});
  for (int64_t i = 0; i < rows; ++i) {
    std::memcpy(records.data<float>() + i * width(), stored.data() + i * record_bytes(),
                static_cast<size_t>(width() * kFloat));
  }
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
    const uint64_t sum = checksum(header.data(), header.size());
    header.append(reinterpret_cast<const char*>(&sum), sizeof sum);
    if (!write_at(file_.number(), header.data(), kHeader, 0)) { fail("write", path_); }
  }
  Tensor records = Tensor::empty({rows, width()});
  int64_t column = 0;
  for (int64_t i = 0; i < 3; column += widths_[i++]) {
    if (widths_[i] == 0) { continue; }
    check_shape(*parts[i], {rows, widths_[i]}, "activations", "a part");
    records.slice(1, column, column + widths_[i]).copy_(*parts[i]);
  }
  std::vector<std::byte> bytes(static_cast<size_t>(rows * record_bytes()));
  for (int64_t i = 0; i < rows; ++i) {
    std::byte* record = bytes.data() + i * record_bytes();
    std::memcpy(record, records.data<float>() + i * width(), static_cast<size_t>(width() * kFloat));
    const uint64_t sum = checksum_of(record, size_ + i);
    std::memcpy(record + width() * kFloat, &sum, sizeof sum);
  }
  if (!write_at(file_.number(), bytes.data(), rows * record_bytes(), place(size_)) || !sync_data(file_.number())) {
    fail("write", path_);
  }
  size_ += rows;
}

void ActivationLog::remove() { ::unlink(path_.c_str()); }

}  // namespace terrace
