#include "metrics/kernel_distance.h"

#include <algorithm>

#include "metrics/random_rows.h"
#include "tensor/base/mean_deviation.h"
#include "tensor/device/interruption.h"
#include "tensor/matmul.h"
#include "tensor/random_streams.h"

namespace terrace {
namespace {

constexpr int64_t kTile = 1024;

double cubic(double product, double dim) {
  const double base = product / dim + 1;
  return base * base * base;
}

/// The sum of the kernel over the pairs of a tile; over those with i != j where both are the same rows.
enum class Diagonal : uint8_t { kIncluded, kLeftOut };
double kernel_sum(const Tensor& a, const Tensor& b, Diagonal diagonal) {
  interruption_point();
  const Tensor products = matmul(a, b.transpose(0, 1));
  const auto dim = static_cast<double>(a.dim(1));
  const double* p = products.data<double>();
  double sum = 0;
  for (int64_t i = 0; i < a.dim(0); ++i) {
    double row = 0;
    for (int64_t j = 0; j < b.dim(0); ++j) {
      if (diagonal == Diagonal::kIncluded || i != j) { row += cubic(p[i * b.dim(0) + j], dim); }
    }
    sum += row;
  }
  return sum;
}

double sum_within(const FeatureRows& x) {
  double sum = 0;
  for (int64_t i = 0; i < x.size(); i += kTile) {
    const Tensor a = x.read(i, std::min(x.size(), i + kTile));
    sum += kernel_sum(a, a, Diagonal::kLeftOut);
    for (int64_t j = i + kTile; j < x.size(); j += kTile) {
      sum += 2 * kernel_sum(a, x.read(j, std::min(x.size(), j + kTile)), Diagonal::kIncluded);
    }
  }
  return sum;
}

double sum_between(const FeatureRows& x, const FeatureRows& y) {
  double sum = 0;
  for (int64_t i = 0; i < x.size(); i += kTile) {
    const Tensor a = x.read(i, std::min(x.size(), i + kTile));
    for (int64_t j = 0; j < y.size(); j += kTile) {
      sum += kernel_sum(a, y.read(j, std::min(y.size(), j + kTile)), Diagonal::kIncluded);
    }
  }
  return sum;
}

void check_sets(const FeatureRows& x, const FeatureRows& y) {
  if (x.dim() != y.dim()) {
    throw ShapeError(cat("kernel_distance: features of ", x.dim(), " against features of ", y.dim()));
  }
  if (x.size() < 2 || y.size() < 2) {
    throw ConfigError(cat("kernel_distance: needs two images or more of each set, got ", x.size(), " and ", y.size()));
  }
}

}  // namespace

double kernel_distance(const FeatureRows& x, const FeatureRows& y) {
  check_sets(x, y);
  const auto m = static_cast<double>(x.size()), n = static_cast<double>(y.size());
  return sum_within(x) / (m * (m - 1)) + sum_within(y) / (n * (n - 1)) - 2 * sum_between(x, y) / (m * n);
}

KernelDistance kernel_distance_of_subsets(const FeatureRows& x, const FeatureRows& y, const KernelSubsets& subsets) {
  check_sets(x, y);
  if (subsets.count < 1 || subsets.size < 2) {
    throw ConfigError(
        cat("kernel_distance: ", subsets.count, " subsets of ", subsets.size, "; one or more, of two images or more"));
  }
  KernelDistance result{.subsets = subsets.count, .size = std::min({subsets.size, x.size(), y.size()})};
  if (result.size == x.size() && result.size == y.size()) {
    result.subsets = 1;  // every other would be the same
  }
  std::vector<double> values;
  for (int64_t s = 0; s < result.subsets; ++s) {
    Generator of_x(subsets.seed, streams::kKernelSubsets + 2 * s);
    Generator of_y(subsets.seed, streams::kKernelSubsets + (2 * s + 1));
    values.push_back(kernel_distance(MemoryRows(x.gather(random_subset(x.size(), result.size, of_x))),
                                     MemoryRows(y.gather(random_subset(y.size(), result.size, of_y)))));
  }
  result.mean = mean_of(values);
  result.deviation = deviation_of(values, result.mean, 0);
  return result;
}

}  // namespace terrace
