// Mean and covariance of features that come in pieces, in f64 and in memory that does not depend on their number.
//
//   Moments moments(2048);
//   while (...) moments.add(features);          // (n, 2048), f32 or f64
//   const Gaussian reference = moments.gaussian();
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace terrace {

/// What a Frechet distance knows of a set of features.
struct Gaussian {
  Tensor mean;        // f64 (d)
  Tensor covariance;  // f64 (d, d), divided by N - 1
  int64_t count = 0;  // N; 0: not known, as in statistics that another program saved

  int64_t dim() const { return mean.dim(0); }
};

/// Sums over blocks of a fixed number of rows about the block's own mean, joined as Chan, Golub and LeVeque do (1979):
///   M = M_a + M_b + n_a n_b / (n_a + n_b) (m_b - m_a)(m_b - m_a)^T
/// so that nothing cancels where the mean is large, and the result does not depend on how the rows were cut into calls
/// of add().
class Moments {
 public:
  /// The sums are kept, and the products computed, on `device`.
  explicit Moments(int64_t dim, Device device = kCpu);

  /// features (n, d), f32 or f64, on any device. Throws ShapeError, DTypeError; Error naming the row where a
  /// value is not finite: on a device other than the CPU once its block of rows is full or asked for.
  void add(const Tensor& features);
  /// As if the rows of `other`, on the same device, came next, up to rounding: its blocks are joined as they are.
  void merge(const Moments& other);

  int64_t dim() const { return dim_; }
  int64_t count() const { return count_ + pending_rows_; }
  Tensor mean() const;        // f64 (d); throws Error where there is no row
  Tensor covariance() const;  // f64 (d, d); throws Error where there are fewer than two rows
  Gaussian gaussian() const;

 private:
  void add_on_cpu(const Tensor& features);
  void add_on_device(const Tensor& features);
  void flush();
  std::vector<double> sum_on_cpu(int64_t rows);
  std::vector<double> sum_on_device(int64_t rows);
  void join(int64_t rows, const std::vector<double>& mean);
  Moments complete() const;

  int64_t dim_, count_ = 0;
  Device device_;
  std::vector<double> mean_;   // of the rows in blocks
  Tensor scatter_;             // f64 (d, d), lower triangle: sum of (x - mean)(x - mean)^T
  std::vector<double> block_;  // rows that fill no block yet, on the CPU
  Tensor device_block_;        // likewise on another device
  int64_t pending_rows_ = 0;
};

/// Mean and covariance of all rows of a tensor (n, d).
Gaussian gaussian_of(const Tensor& features);

}  // namespace terrace
