#include "metrics/frechet.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "metrics/symmetric.h"
#include "tensor/matmul.h"

namespace terrace {
namespace {

void check_gaussian(const Gaussian& g, int64_t dim, const char* name) {
  check_dtype(g.mean, DType::kF64, "frechet_distance", name);
  check_dtype(g.covariance, DType::kF64, "frechet_distance", name);
  check_shape(g.mean, {dim}, "frechet_distance", cat("the mean of ", name).c_str());
  check_shape(g.covariance, {dim, dim}, "frechet_distance", cat("the covariance of ", name).c_str());
  for (const double m : g.mean.to_vector<double>()) {
    if (!std::isfinite(m)) { throw Error(cat("frechet_distance: the mean of ", name, " holds ", m)); }
  }
}

double trace(const Tensor& a) {
  double sum = 0;
  for (int64_t i = 0; i < a.dim(0); ++i) { sum += a.data<double>()[i * a.dim(0) + i]; }
  return sum;
}

/// T of the class's comment.
Tensor root_of(const Tensor& covariance) {
  const SymmetricEigen eigen = symmetric_eigen(covariance);
  const int64_t n = covariance.dim(0);
  const double* values = eigen.values.data<double>();
  const double rounding = static_cast<double>(n) * std::numeric_limits<double>::epsilon() * values[n - 1];
  const int64_t first = std::upper_bound(values, values + n, std::max(rounding, 0.0)) - values;
  Tensor root = eigen.vectors.slice(0, first, n).clone();
  double* rows = root.data<double>();
  for (int64_t r = 0; r < n - first; ++r) {
    for (int64_t c = 0; c < n; ++c) { rows[r * n + c] *= std::sqrt(values[first + r]); }
  }
  return root;
}

}  // namespace

FrechetReference::FrechetReference(const Gaussian& reference) : reference_(reference) {
  check_ndim(reference.mean, 1, "frechet_distance", "the mean of the reference");
  check_gaussian(reference, reference.dim(), "the reference");
  if (reference.dim() == 0) { throw ShapeError("frechet_distance: features of no dimension"); }
  reference_.covariance = reference.covariance.contiguous();
  root_ = root_of(reference_.covariance);
}

double FrechetReference::distance(const Gaussian& other) const {
  check_gaussian(other, reference_.dim(), "the other");
  const Tensor covariance = other.covariance.contiguous();
  double roots = 0;
  if (root_.dim(0) > 0) {
    const Tensor product = matmul(matmul(root_, covariance), root_.transpose(0, 1));
    const std::vector<double> values = symmetric_eigenvalues(product).to_vector<double>();  // ascending
    const auto most = other.count > 0 ? static_cast<size_t>(other.count - 1) : values.size();
    for (size_t i = values.size() - std::min(most, values.size()); i < values.size(); ++i) {
      roots += std::sqrt(std::max(values[i], 0.0));
    }
  }
  double squares = 0;
  const std::vector<double> a = reference_.mean.to_vector<double>(), b = other.mean.to_vector<double>();
  for (size_t i = 0; i < a.size(); ++i) { squares += (a[i] - b[i]) * (a[i] - b[i]); }
  return squares + trace(reference_.covariance) + trace(covariance) - 2 * roots;
}

double frechet_distance(const Gaussian& a, const Gaussian& b) { return FrechetReference(a).distance(b); }

}  // namespace terrace
