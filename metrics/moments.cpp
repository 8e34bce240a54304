#include "metrics/moments.h"

#include <algorithm>
#include <cmath>

#include "metrics/symmetric.h"
#include "tensor/matmul.h"
#include "tensor/pointwise.h"
#include "tensor/reduce.h"

namespace terrace {
namespace {

constexpr int64_t kBlockRows = 256;

/// Throws Error for the first of `count` values, in rows of `dim` from row `first` on, that is not finite.
void check_finite(const double* values, int64_t count, int64_t dim, int64_t first) {
  const auto* wrong = std::find_if(values, values + count, [](double v) { return !std::isfinite(v); });
  if (wrong == values + count) { return; }
  throw Error(
      cat("moments: feature ", (wrong - values) % dim, " of row ", first + (wrong - values) / dim, " is ", *wrong));
}

}  // namespace

Moments::Moments(int64_t dim, Device device)
    : dim_(dim),
      device_(device),
      mean_(static_cast<size_t>(dim), 0),
      scatter_(Tensor::zeros({dim, dim}, DType::kF64, device)) {}

void Moments::add(const Tensor& features) {
  check_shape(features, {features.ndim() > 0 ? features.dim(0) : 0, dim_}, "moments", "features");
  if (features.dtype() != DType::kF32) { check_dtype(features, DType::kF64, "moments", "features"); }
  if (device_.is_cpu()) {
    add_on_cpu(features.to(kCpu));
  } else {
    add_on_device(features.to(device_));
  }
}

void Moments::add_on_cpu(const Tensor& features) {
  block_.resize(static_cast<size_t>(kBlockRows * dim_));
  for (int64_t begin = 0; begin < features.dim(0);) {
    const int64_t rows = std::min(features.dim(0) - begin, kBlockRows - pending_rows_);
    const Tensor part = features.slice(0, begin, begin + rows).to(DType::kF64).contiguous();
    const double* from = part.data<double>();
    check_finite(from, part.numel(), dim_, count());
    std::copy(from, from + part.numel(), block_.begin() + pending_rows_ * dim_);
    pending_rows_ += rows;
    begin += rows;
    if (pending_rows_ == kBlockRows) { flush(); }
  }
}

void Moments::add_on_device(const Tensor& features) {
  for (int64_t begin = 0; begin < features.dim(0);) {
    if (pending_rows_ == 0) { device_block_ = Tensor::empty({kBlockRows, dim_}, DType::kF64, device_); }
    const int64_t rows = std::min(features.dim(0) - begin, kBlockRows - pending_rows_);
    device_block_.slice(0, pending_rows_, pending_rows_ + rows).copy_(features.slice(0, begin, begin + rows));
    pending_rows_ += rows;
    begin += rows;
    if (pending_rows_ == kBlockRows) { flush(); }
  }
}

/// The rows of the block become part of the sums.
void Moments::flush() {
  const int64_t rows = pending_rows_;
  if (rows == 0) { return; }
  const std::vector<double> mean = device_.is_cpu() ? sum_on_cpu(rows) : sum_on_device(rows);
  pending_rows_ = 0;
  join(rows, mean);
}

/// Adds the scatter of the block about its own mean, and returns that.
std::vector<double> Moments::sum_on_cpu(int64_t rows) {
  std::vector<double> mean(mean_.size(), 0);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < dim_; ++c) { mean[static_cast<size_t>(c)] += block_[static_cast<size_t>(r * dim_ + c)]; }
  }
  for (double& m : mean) { m /= static_cast<double>(rows); }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < dim_; ++c) { block_[static_cast<size_t>(r * dim_ + c)] -= mean[static_cast<size_t>(c)]; }
  }
  add_gram_lower(block_.data(), rows, dim_, scatter_.data<double>());
  return mean;
}

std::vector<double> Moments::sum_on_device(int64_t rows) {
  const Tensor block = device_block_.slice(0, 0, rows);
  const Tensor mean = scale(sum(block, {0}), 1 / static_cast<double>(rows));
  std::vector<double> values_of_mean = mean.to_vector<double>();
  if (!std::all_of(values_of_mean.begin(), values_of_mean.end(), [](double m) { return std::isfinite(m); })) {
    const Tensor values = block.to(kCpu).contiguous();
    check_finite(values.data<double>(), values.numel(), dim_, count_);
  }
  const Tensor centred = sub(block, mean);
  matmul_into(centred.transpose(0, 1), centred, scatter_, Write::kAccumulate);
  return values_of_mean;
}

/// Moves the mean to that of all rows and adds the outer product of the step to the scatter, which has that of the new
/// rows already.
void Moments::join(int64_t rows, const std::vector<double>& mean) {
  const auto before = static_cast<double>(count_), added = static_cast<double>(rows);
  std::vector<double> step(mean.size());
  for (size_t c = 0; c < mean.size(); ++c) {
    step[c] = mean[c] - mean_[c];
    mean_[c] += step[c] * added / (before + added);
  }
  const double weight = before * added / (before + added);
  if (count_ > 0 && device_.is_cpu()) {
    add_outer_lower(step.data(), weight, dim_, scatter_.data<double>());
  } else if (count_ > 0) {
    const Tensor row = Tensor::from(step, {1, dim_}).to(device_);
    matmul_into(row.transpose(0, 1), scale(row, weight), scatter_, Write::kAccumulate);
  }
  count_ += rows;
}

void Moments::merge(const Moments& other) {
  if (other.dim_ != dim_) { throw ShapeError(cat("moments: features of ", other.dim_, " joined to those of ", dim_)); }
  flush();
  const Moments added = other.complete();
  if (added.count_ == 0) { return; }
  add_(scatter_, added.scatter_.to(device_));
  join(added.count_, added.mean_);
}

/// A copy whose pending rows are in the sums.
Moments Moments::complete() const {
  Moments copy = *this;
  copy.scatter_ = scatter_.clone();
  copy.flush();
  return copy;
}

Tensor Moments::mean() const {
  if (count() == 0) { throw Error("moments: the mean of nothing; there is no row"); }
  return Tensor::from(complete().mean_, {dim_});
}

Tensor Moments::covariance() const { return gaussian().covariance; }

Gaussian Moments::gaussian() const {
  if (count() < 2) { throw Error(cat("moments: a covariance needs two rows or more, got ", count())); }
  const Moments whole = complete();
  Gaussian result{
      .mean = Tensor::from(whole.mean_, {dim_}), .covariance = whole.scatter_.to(kCpu), .count = whole.count_};
  double* values = result.covariance.data<double>();
  for (int64_t i = 0; i < dim_ * dim_; ++i) { values[i] /= static_cast<double>(whole.count_ - 1); }
  mirror_lower(values, dim_);
  return result;
}

Gaussian gaussian_of(const Tensor& features) {
  check_ndim(features, 2, "gaussian_of", "features");
  Moments moments(features.dim(1));
  moments.add(features);
  return moments.gaussian();
}

}  // namespace terrace
