#include "metrics/moments.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/support.h"

namespace terrace {
namespace {

/// Rows whose coordinates depend on each other, about a mean that is large against their spread.
Tensor rows_about(double mean, int64_t rows, int64_t dim, uint64_t seed) {
  Tensor x = random_tensor({rows, dim}, seed, -1, 1, DType::kF64);
  double* p = x.data<double>();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < dim; ++c) {
      p[r * dim + c] = mean + p[r * dim + c] + (c > 0 ? 0.5 * (p[r * dim] - mean) : 0);
    }
  }
  return x;
}

/// By the definition, in two passes and long double.
Gaussian by_definition(const Tensor& x) {
  const int64_t rows = x.dim(0), dim = x.dim(1);
  const double* p = x.data<double>();
  std::vector<long double> mean(static_cast<size_t>(dim), 0);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < dim; ++c) {
      mean[static_cast<size_t>(c)] += p[r * dim + c] / static_cast<long double>(rows);
    }
  }
  Gaussian g{.mean = Tensor::empty({dim}, DType::kF64), .covariance = Tensor::empty({dim, dim}, DType::kF64)};
  for (int64_t a = 0; a < dim; ++a) {
    g.mean.data<double>()[a] = static_cast<double>(mean[static_cast<size_t>(a)]);
    for (int64_t b = 0; b < dim; ++b) {
      long double sum = 0;
      for (int64_t r = 0; r < rows; ++r) {
        sum += (p[r * dim + a] - mean[static_cast<size_t>(a)]) * (p[r * dim + b] - mean[static_cast<size_t>(b)]);
      }
      g.covariance.data<double>()[a * dim + b] = static_cast<double>(sum / static_cast<long double>(rows - 1));
    }
  }
  return g;
}

TEST(Moments, AreTheDefinitionAlsoFarFromZero) {
  for (const double mean : {0.0, 1e6}) {
    const Tensor x = rows_about(mean, 700, 7, 1);
    const Gaussian got = gaussian_of(x), expected = by_definition(x);
    EXPECT_EQ(got.count, 700);
    EXPECT_CLOSE(got.mean, expected.mean, 1e-14);
    EXPECT_CLOSE(got.covariance, expected.covariance, mean == 0 ? 1e-14 : 1e-9);
  }
}

TEST(Moments, OnADeviceAreTheDefinitionToo) {
  const Device device = device_from_name("cuda-host");
  for (const double mean : {0.0, 1e6}) {
    const Tensor x = rows_about(mean, 700, 7, 1);
    const Gaussian expected = by_definition(x);
    Moments whole(7, device), first(7, device), second(7, device);
    for (int64_t begin = 0; begin < 700; begin += 90) {
      const Tensor rows = x.slice(0, begin, std::min<int64_t>(700, begin + 90));
      whole.add(begin % 180 == 0 ? rows : rows.to(device));
    }
    EXPECT_EQ(whole.count(), 700);
    first.add(x.slice(0, 0, 300));
    second.add(x.slice(0, 300, 700).to(device));
    first.merge(second);
    for (const Gaussian& got : {whole.gaussian(), whole.gaussian(), first.gaussian()}) {
      EXPECT_EQ(got.count, 700);
      EXPECT_CLOSE(got.mean, expected.mean, 1e-14);
      EXPECT_CLOSE(got.covariance, expected.covariance, mean == 0 ? 1e-14 : 1e-9);
    }
  }
  Tensor bad = Tensor::zeros({300, 4});
  bad.data<float>()[270 * 4 + 3] = INFINITY;
  Moments moments(4, device);
  moments.add(bad);
  expect_error<Error>([&] { moments.gaussian(); }, "moments: feature 3 of row 270 is inf");
}

TEST(Moments, DoNotDependOnHowTheRowsCome) {
  const Tensor x = rows_about(3, 601, 5, 2);
  const Gaussian whole = gaussian_of(x);
  for (const int64_t step : {1, 7, 256, 300}) {
    Moments moments(5);
    for (int64_t begin = 0; begin < 601; begin += step) {
      moments.add(x.slice(0, begin, std::min<int64_t>(601, begin + step)));
      EXPECT_EQ(moments.count(), std::min<int64_t>(601, begin + step));
    }
    EXPECT_SAME(moments.gaussian().mean, whole.mean);
    EXPECT_SAME(moments.gaussian().covariance, whole.covariance);
  }
}

TEST(Moments, OfPartsJoinToThoseOfAll) {
  const Tensor x = rows_about(-2, 900, 6, 3);
  Moments left(6), right(6), none(6);
  left.add(x.slice(0, 0, 333));
  right.add(x.slice(0, 333, 900));
  const Tensor mean_before = left.mean();
  left.merge(none);
  EXPECT_SAME(left.mean(), mean_before);
  left.merge(right);
  none.merge(left);
  for (const Moments* joined : {&left, &none}) {
    EXPECT_EQ(joined->count(), 900);
    EXPECT_CLOSE(joined->mean(), gaussian_of(x).mean, 1e-14);
    EXPECT_CLOSE(joined->covariance(), gaussian_of(x).covariance, 1e-14);
  }
  EXPECT_CLOSE(right.covariance(), gaussian_of(x.slice(0, 333, 900)).covariance, 1e-14);
}

TEST(Moments, TakeF32AndViews) {
  const Tensor x = random_tensor({40, 8}, 4);
  EXPECT_SAME(gaussian_of(x.slice(1, 2, 7)).covariance, gaussian_of(x.slice(1, 2, 7).to(DType::kF64)).covariance);
}

TEST(Moments, RefuseWhatHasNone) {
  Moments moments(3);
  expect_error<Error>([&] { moments.mean(); }, "moments: the mean of nothing; there is no row");
  moments.add(Tensor::zeros({1, 3}));
  expect_error<Error>([&] { moments.covariance(); }, "moments: a covariance needs two rows or more, got 1");
  expect_error<ShapeError>([&] { moments.add(Tensor::zeros({2, 4})); }, "moments: features must be (2, 3), got (2, 4)");
  expect_error<DTypeError>([&] { moments.add(Tensor::zeros({2, 3}, DType::kI64)); }, "moments: features must be f64");
  expect_error<ShapeError>([&] { moments.merge(Moments(4)); }, "moments: features of 4 joined to those of 3");
  Tensor bad = Tensor::zeros({300, 3});
  bad.data<float>()[280 * 3 + 2] = std::numeric_limits<float>::quiet_NaN();
  expect_error<Error>([&] { moments.add(bad); }, "moments: feature 2 of row 281 is nan");
}

}  // namespace
}  // namespace terrace
