#include "metrics/feature_rows.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "data/files/positional_io.h"

namespace terrace {
namespace {

constexpr int64_t kFloat = sizeof(float);

void check_range(const FeatureRows& rows, int64_t begin, int64_t end) {
  if (begin < 0 || begin > end || end > rows.size()) {
    throw IndexError(cat("features: rows [", begin, ", ", end, ") of ", rows.size()));
  }
}

[[noreturn]] void fail(const char* doing, const std::string& folder) {
  throw IoError(cat("cannot ", doing, " a temporary file in ", folder, ": ", std::strerror(errno),
                    "; TMPDIR names another folder"));
}

}  // namespace

Tensor FeatureRows::gather(const std::vector<int64_t>& rows) const {
  Tensor result = Tensor::empty({static_cast<int64_t>(rows.size()), dim()}, DType::kF64);
  for (size_t i = 0; i < rows.size();) {
    size_t end = i + 1;  // neighbours are read together
    while (end < rows.size() && rows[end] == rows[end - 1] + 1) { ++end; }
    Tensor part = result.slice(0, static_cast<int64_t>(i), static_cast<int64_t>(end));
    part.copy_(read(rows[i], rows[end - 1] + 1));
    i = end;
  }
  return result;
}

MemoryRows::MemoryRows(Tensor values) : values_(std::move(values)) { check_ndim(values_, 2, "features", "values"); }

Tensor MemoryRows::read(int64_t begin, int64_t end) const {
  check_range(*this, begin, end);
  return values_.slice(0, begin, end).to(DType::kF64).contiguous();
}

DiskRows::DiskRows(int64_t dim) : dim_(dim) {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::temp_directory_path(error);
  folder_ = error ? "/tmp" : folder.string();
  std::string name = folder_ + "/terrace-features-XXXXXX";
  descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ < 0) { fail("create", folder_); }
  ::unlink(name.c_str());
}

DiskRows::~DiskRows() { ::close(descriptor_); }

void DiskRows::append(const Tensor& features) {
  check_dtype(features, DType::kF32, "features", "features");
  check_shape(features, {features.dim(0), dim_}, "features", "features");
  const Tensor source = features.contiguous();
  if (!write_at(descriptor_, source.raw_data(), source.numel() * kFloat, size_ * dim_ * kFloat)) {
    fail("write", folder_);
  }
  size_ += features.dim(0);
}

Tensor DiskRows::read(int64_t begin, int64_t end) const {
  check_range(*this, begin, end);
  Tensor rows = Tensor::empty({end - begin, dim_});
  if (!read_at(descriptor_, rows.raw_data(), rows.numel() * kFloat, begin * dim_ * kFloat)) { fail("read", folder_); }
  return rows.to(DType::kF64);
}

}  // namespace terrace
