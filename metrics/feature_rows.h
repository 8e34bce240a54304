// Features of a set of images, row by row, for what needs them again: KID, precision and recall, confidence intervals.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace terrace {

/// Rows of d numbers, in memory or on disk: read in pieces, by any thread.
class FeatureRows {
 public:
  virtual ~FeatureRows() = default;
  virtual int64_t size() const = 0;
  virtual int64_t dim() const = 0;
  /// Rows [begin, end) as f64 (end - begin, d). Throws IndexError, IoError.
  virtual Tensor read(int64_t begin, int64_t end) const = 0;
  /// The rows of these positions, in their order.
  Tensor gather(const std::vector<int64_t>& rows) const;
};

/// A tensor (N, d), f32 or f64.
class MemoryRows : public FeatureRows {
 public:
  explicit MemoryRows(Tensor values);
  int64_t size() const override { return values_.dim(0); }
  int64_t dim() const override { return values_.dim(1); }
  Tensor read(int64_t begin, int64_t end) const override;

 private:
  Tensor values_;
};

/// f32 rows in a file without a name in the folder for temporary files (TMPDIR): gone when the process ends, however it
/// ends, and read through the system's cache, so that they are no memory of the process.
class DiskRows : public FeatureRows {
 public:
  /// Throws IoError.
  explicit DiskRows(int64_t dim);
  ~DiskRows() override;
  DiskRows(const DiskRows&) = delete;
  DiskRows& operator=(const DiskRows&) = delete;

  void append(const Tensor& features);  // f32 (n, d)
  int64_t size() const override { return size_; }
  int64_t dim() const override { return dim_; }
  Tensor read(int64_t begin, int64_t end) const override;

 private:
  int64_t dim_, size_ = 0;
  int descriptor_ = -1;
  std::string folder_;
};

}  // namespace terrace
