#include "metrics/moments.h"

#include <algorithm>
#include <cmath>

#include "metrics/symmetric.h"

namespace terrace {
namespace {

constexpr int64_t kBlockRows = 256;

}  // namespace

Moments::Moments(int64_t dim)
    : dim_(dim), mean_(static_cast<size_t>(dim), 0), scatter_(Tensor::zeros({dim, dim}, DType::kF64)) {}

void Moments::add(const Tensor& features) {
  check_shape(features, {features.ndim() > 0 ? features.dim(0) : 0, dim_}, "moments", "features");
  if (features.dtype() != DType::kF32) check_dtype(features, DType::kF64, "moments", "features");
  block_.resize(static_cast<size_t>(kBlockRows * dim_));
  for (int64_t begin = 0; begin < features.dim(0);) {
    const int64_t rows = std::min(features.dim(0) - begin, kBlockRows - pending_rows_);
    const Tensor part = features.slice(0, begin, begin + rows).to(DType::kF64).contiguous();
    const double* from = part.data<double>();
    const auto* wrong = std::find_if(from, from + part.numel(), [](double v) { return !std::isfinite(v); });
    if (wrong != from + part.numel()) {
      throw Error(
          cat("moments: feature ", (wrong - from) % dim_, " of row ", count() + (wrong - from) / dim_, " is ", *wrong));
    }
    std::copy(from, from + part.numel(), block_.begin() + pending_rows_ * dim_);
    pending_rows_ += rows;
    begin += rows;
    if (pending_rows_ == kBlockRows) flush();
  }
}

/// The rows of the block become part of the sums.
void Moments::flush() {
  const int64_t rows = pending_rows_;
  if (rows == 0) return;
  pending_rows_ = 0;
  std::vector<double> mean(mean_.size(), 0);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < dim_; ++c) mean[static_cast<size_t>(c)] += block_[static_cast<size_t>(r * dim_ + c)];
  for (double& m : mean) m /= static_cast<double>(rows);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < dim_; ++c) block_[static_cast<size_t>(r * dim_ + c)] -= mean[static_cast<size_t>(c)];
  add_gram_lower(block_.data(), rows, dim_, scatter_.data<double>());
  join(rows, mean);
}

/// Moves the mean and adds the outer product of the step; the scatter of the new rows is in already.
void Moments::join(int64_t rows, const std::vector<double>& mean) {
  const auto before = static_cast<double>(count_), added = static_cast<double>(rows);
  std::vector<double> step(mean.size());
  for (size_t c = 0; c < mean.size(); ++c) {
    step[c] = mean[c] - mean_[c];
    mean_[c] += step[c] * added / (before + added);
  }
  if (count_ > 0) add_outer_lower(step.data(), before * added / (before + added), dim_, scatter_.data<double>());
  count_ += rows;
}

void Moments::merge(const Moments& other) {
  if (other.dim_ != dim_) throw ShapeError(cat("moments: features of ", other.dim_, " joined to those of ", dim_));
  flush();
  const Moments added = other.complete();
  if (added.count_ == 0) return;
  double* to = scatter_.data<double>();
  const double* from = added.scatter_.data<double>();
  for (int64_t i = 0; i < dim_ * dim_; ++i) to[i] += from[i];
  join(added.count_, added.mean_);
}

/// A copy without rows that wait.
Moments Moments::complete() const {
  Moments copy = *this;
  copy.scatter_ = scatter_.clone();
  copy.flush();
  return copy;
}

Tensor Moments::mean() const {
  if (count() == 0) throw Error("moments: the mean of nothing; there is no row");
  return Tensor::from(complete().mean_, {dim_});
}

Tensor Moments::covariance() const { return gaussian().covariance; }

Gaussian Moments::gaussian() const {
  if (count() < 2) throw Error(cat("moments: a covariance needs two rows or more, got ", count()));
  const Moments whole = complete();
  Gaussian result{.mean = Tensor::from(whole.mean_, {dim_}), .covariance = whole.scatter_, .count = whole.count_};
  double* values = result.covariance.data<double>();
  for (int64_t i = 0; i < dim_ * dim_; ++i) values[i] /= static_cast<double>(whole.count_ - 1);
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
