#include "metrics/frechet.h"

#include <cmath>
#include <limits>

#include "metrics/symmetric.h"
#include "tensor/matmul.h"
#include "tests/golden.h"
#include "tests/support.h"

namespace terrace {
namespace {

TEST(MetricsGolden, DistancesAndScores) { expect_golden("metrics.h5"); }

Gaussian diagonal(const std::vector<double>& mean, const std::vector<double>& variances) {
  const auto d = static_cast<int64_t>(mean.size());
  Gaussian g{.mean = Tensor::from(mean, {d}), .covariance = Tensor::zeros({d, d}, DType::kF64)};
  for (int64_t i = 0; i < d; ++i) { g.covariance.data<double>()[i * d + i] = variances[static_cast<size_t>(i)]; }
  return g;
}

// Of diagonal covariances it is |m1 - m2|^2 + sum (sqrt a - sqrt b)^2.
TEST(Frechet, OfDiagonalGaussiansIsTheFormula) {
  const Gaussian a = diagonal({1, 2, 3}, {4, 1, 0}), b = diagonal({1, 0, 3.5}, {9, 0.25, 16});
  EXPECT_NEAR(frechet_distance(a, b), 4 + 0.25 + 1 + 0.25 + 16, 1e-12);
  EXPECT_NEAR(frechet_distance(b, a), frechet_distance(a, b), 1e-12);
  const Gaussian points = diagonal({1, 2, 3}, {0, 0, 0});  // S1 = 0: no direction at all
  EXPECT_NEAR(frechet_distance(points, b), 4 + 0.25 + 9 + 0.25 + 16, 1e-12);
}

/// Orthonormal rows: eigenvectors of a random symmetric matrix.
Tensor rotation(int64_t d, uint64_t seed) {
  const Tensor x = random_tensor({d, d}, seed, -1, 1, DType::kF64);
  return symmetric_eigen(matmul(x, x.transpose(0, 1))).vectors;
}

TEST(Frechet, DoesNotChangeUnderARotation) {
  const Tensor x = random_tensor({90, 12}, 5, -1, 2, DType::kF64), y = random_tensor({70, 12}, 6, -2, 1, DType::kF64);
  const Tensor r = rotation(12, 7);
  const double before = frechet_distance(gaussian_of(x), gaussian_of(y));
  EXPECT_NEAR(frechet_distance(gaussian_of(matmul(x, r)), gaussian_of(matmul(y, r))), before, 1e-11 * before);
  EXPECT_GT(before, 1);
}

/// tr (S1 S2)^1/2 of centred rows X, Y is the sum of the singular values of X Y^T: no covariance is formed.
double by_singular_values(const Tensor& x, const Tensor& y) {
  const Gaussian a = gaussian_of(x), b = gaussian_of(y);
  const auto centred = [](const Tensor& t, const Gaussian& g) {
    Tensor c = t.clone();
    const double scale = std::sqrt(static_cast<double>(t.dim(0) - 1));
    for (int64_t i = 0; i < c.numel(); ++i) {
      c.data<double>()[i] = (c.data<double>()[i] - g.mean.data<double>()[i % t.dim(1)]) / scale;
    }
    return c;
  };
  const Tensor cross = matmul(centred(x, a), centred(y, b).transpose(0, 1));
  // Singular values as the positive eigenvalues of (0 C; C^T 0).
  const int64_t m = cross.dim(0), n = cross.dim(1);
  Tensor both = Tensor::zeros({m + n, m + n}, DType::kF64);
  both.slice(0, 0, m).slice(1, m, m + n).copy_(cross);
  both.slice(0, m, m + n).slice(1, 0, m).copy_(cross.transpose(0, 1));
  double roots = 0, rest = 0;
  for (const double v : symmetric_eigenvalues(both).to_vector<double>()) { roots += std::max(v, 0.0); }
  for (int64_t i = 0; i < x.dim(1); ++i) {
    rest += std::pow(a.mean.data<double>()[i] - b.mean.data<double>()[i], 2);
    rest += a.covariance.data<double>()[i * x.dim(1) + i] + b.covariance.data<double>()[i * x.dim(1) + i];
  }
  return rest - 2 * roots;
}

TEST(Frechet, OfFewerSamplesThanDimensions) {
  const Tensor x = random_tensor({30, 64}, 8, -1, 1, DType::kF64), y = random_tensor({20, 64}, 9, -1, 1.5, DType::kF64);
  const double expected = by_singular_values(x, y);
  EXPECT_NEAR(frechet_distance(gaussian_of(x), gaussian_of(y)), expected, 1e-11 * expected);
  EXPECT_NEAR(frechet_distance(gaussian_of(y), gaussian_of(x)), expected, 1e-11 * expected);
  const Tensor many = random_tensor({500, 64}, 10, -1, 1, DType::kF64);
  const double mixed = by_singular_values(many, y);
  EXPECT_NEAR(frechet_distance(gaussian_of(many), gaussian_of(y)), mixed, 1e-11 * mixed);
  EXPECT_NEAR(frechet_distance(gaussian_of(x), gaussian_of(x)), 0, 1e-11);
}

TEST(Frechet, RefusesWhatDoesNotFit) {
  const Gaussian a = diagonal({1, 2}, {1, 1}), b = diagonal({1, 2, 3}, {1, 1, 1});
  expect_error<ShapeError>([&] { frechet_distance(a, b); }, "frechet_distance: the mean of the other must be (2,)");
  Gaussian bad = diagonal({1, 2}, {1, std::numeric_limits<double>::quiet_NaN()});
  expect_error<Error>([&] { frechet_distance(bad, a); }, "values that are not finite");
  expect_error<Error>([&] { frechet_distance(a, bad); }, "values that are not finite");
  bad = diagonal({1, std::numeric_limits<double>::infinity()}, {1, 1});
  expect_error<Error>([&] { frechet_distance(a, bad); }, "frechet_distance: the mean of the other holds inf");
  bad = diagonal({1, 2}, {1, 1});
  bad.covariance = Tensor::zeros({2, 3}, DType::kF64);
  expect_error<ShapeError>([&] { frechet_distance(bad, a); }, "the covariance of the reference must be (2, 2)");
}

TEST(Symmetric, EigenvectorsDecompose) {
  const Tensor x = random_tensor({9, 9}, 11, -1, 1, DType::kF64);
  const Tensor a = matmul(x, x.transpose(0, 1));
  const SymmetricEigen e = symmetric_eigen(a);
  Tensor scaled = e.vectors.clone();
  for (int64_t i = 0; i < scaled.numel(); ++i) { scaled.data<double>()[i] *= e.values.data<double>()[i / 9]; }
  EXPECT_CLOSE(matmul(e.vectors.transpose(0, 1), scaled), a, 1e-13);
  EXPECT_CLOSE(symmetric_eigenvalues(a), e.values, 1e-13);
  expect_error<ShapeError>([&] { symmetric_eigen(Tensor::zeros({2, 3}, DType::kF64)); }, "a must be (2, 2)");
  expect_error<DTypeError>([&] { symmetric_eigen(Tensor::zeros({2, 2})); }, "a must be f64");
}

}  // namespace
}  // namespace terrace
