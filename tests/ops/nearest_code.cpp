#include "autograd/ops/nearest_code.h"

#include <array>
#include <cmath>
#include <limits>

#include "tests/cuda/one_device.h"
#include "tests/cuda/parity.h"
#include "tests/ops/elements.h"

namespace terrace {
namespace {

std::vector<int64_t> nearest_by_search(const Tensor& x, const Tensor& codes, CodeDistance distance) {
  const std::vector<double> xs = x.to_vector<double>(), cs = codes.to_vector<double>();
  const auto C = static_cast<size_t>(x.dim(1));
  std::vector<int64_t> result;
  for (size_t n = 0; n < xs.size() / C; ++n) {
    double best = std::numeric_limits<double>::infinity();
    int64_t at = 0;
    for (size_t v = 0; v < cs.size() / C; ++v) {
      double squares = 0, product = 0, norm = 0;
      for (size_t c = 0; c < C; ++c) {
        const double a = xs[n * C + c], b = cs[v * C + c];
        squares += (a - b) * (a - b);
        product += a * b;
        norm += b * b;
      }
      const double score = distance == CodeDistance::kEuclidean ? squares : -product / std::sqrt(norm);
      if (score < best) {
        best = score;
        at = static_cast<int64_t>(v);
      }
    }
    result.push_back(at);
  }
  return result;
}

TEST(NearestCode, AgreesWithASearch) {
  struct Extents {
    int64_t rows, codes, channels;
  };
  // The last is large enough to be worked on in several chunks.
  for (const Extents& e : {Extents{1, 1, 1}, {7, 2, 3}, {33, 129, 31}, {2, 64, 8}, {700, 4096, 8}}) {
    for (CodeDistance distance : {CodeDistance::kEuclidean, CodeDistance::kCosine}) {
      SCOPED_TRACE(cat(e.rows, " rows, ", e.codes, " codes"));
      const Tensor x = random_tensor({e.rows, e.channels}, 1, -1, 1, DType::kF64);
      const Tensor codes = random_tensor({e.codes, e.channels}, 2, -1, 1, DType::kF64);
      EXPECT_EQ(nearest_code(x, codes, distance).to_vector<int64_t>(), nearest_by_search(x, codes, distance));
    }
  }
}

TEST(NearestCode, F32FindsACodeAsNearUpToRounding) {
  const Tensor x = random_tensor({300, 32}, 1), codes = random_tensor({1000, 32}, 2);
  const std::vector<int64_t> found = nearest_code(x, codes).to_vector<int64_t>();
  const std::vector<int64_t> expected = nearest_by_search(x, codes, CodeDistance::kEuclidean);
  const auto squared = [&](int64_t n, int64_t v) {
    const std::vector<double> a = x.select(0, n).to_vector<double>(), b = codes.select(0, v).to_vector<double>();
    double sum = 0;
    for (size_t c = 0; c < a.size(); ++c) { sum += (a[c] - b[c]) * (a[c] - b[c]); }
    return sum;
  };
  for (int64_t n = 0; n < 300; ++n) {
    // Norms are near 10; a few roundings of that size.
    EXPECT_LE(squared(n, found[static_cast<size_t>(n)]), squared(n, expected[static_cast<size_t>(n)]) + 2e-5);
  }
}

TEST(NearestCode, TheLowestOfEqualsAndExactHits) {
  const Tensor codes = f32({1, 0, 0, 1, 1, 0, -1, 0, 0, 1}, {5, 2});  // 0 = 2 and 1 = 4
  const Tensor x = f32({1, 0, 0, 1, -1, 0, 0.5F, 0.5F, 0, 0}, {5, 2});
  EXPECT_SAME(nearest_code(x, codes), i64({0, 1, 3, 0, 0}, {5}));
  EXPECT_SAME(nearest_code(x, codes, CodeDistance::kCosine), i64({0, 1, 3, 0, 0}, {5}));
  const Tensor table = random_tensor({200, 16}, 3);
  EXPECT_SAME(nearest_code(table, table), Here::arange(200));
  EXPECT_SAME(nearest_code(table, table, CodeDistance::kCosine), Here::arange(200));
}

TEST(NearestCode, EmptyInputsAndErrors) {
  const Tensor codes = Here::zeros({4, 3});
  EXPECT_EQ(nearest_code(Here::zeros({0, 3}), codes).shape(), Shape{0});
  expect_error<ShapeError>([&] { nearest_code(Here::zeros({2, 4}), codes); }, "codes must be (V,C) with C = 4");
  expect_error<ShapeError>([&] { nearest_code(Here::zeros({2, 3}), Here::zeros({0, 3})); }, "is empty");
  expect_error<ShapeError>([&] { nearest_code(Here::zeros({3}), codes); }, "nearest_code");
  expect_error<DTypeError>([&] { nearest_code(Here::zeros({2, 3}, DType::kBF16), codes); }, "f32 or f64");
  expect_error<DTypeError>([&] { nearest_code(Here::zeros({2, 3}, DType::kF64), codes); }, "codes");
}

TEST(CudaNearestCode, AsOnTheCpuAndByDefinition) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const auto& [rows, codes, cols] : {std::array<int64_t, 3>{1, 1, 1}, {65, 63, 3}, {70, 200, 33}}) {
      // Small integers: products are exact, and many codes are equally near, so that ties are decided.
      Tensor x = crowded({rows, cols}, 3), table = crowded({codes, cols}, 4);
      for (Tensor* t : {&x, &table}) {
        for (int64_t i = 0; i < t->numel(); ++i) {
          if (!std::isfinite(t->data<float>()[i])) { t->data<float>()[i] = 1; }
        }
      }
      x = x.to(dtype);
      table = table.to(dtype);
      EXPECT_EQ(nearest_code(x.to(executor_device()), table.to(executor_device())).to_vector<int64_t>(),
                nearest_by_search(x, table, CodeDistance::kEuclidean));
      expect_same_as_cpu([&](Device device) { return nearest_code(x.to(device), table.to(device)); });
      const Tensor far = random_tensor({rows, cols}, 5, -1, 1, dtype),
                   near = random_tensor({codes, cols}, 6, -1, 1, dtype);
      expect_same_as_cpu(
          [&](Device device) { return nearest_code(far.to(device), near.to(device), CodeDistance::kCosine); });
    }
  }
}

TEST(CudaNearestCode, NanIsNeverNear) {
  const Tensor x = random_tensor({3, 5}, 1), table = random_tensor({70, 5}, 2);
  x.data<float>()[7] = NAN;          // the second row: no distance is a number, and the first code is taken
  table.data<float>()[5 * 9] = NAN;  // code 9 is never near
  expect_same_as_cpu([&](Device device) { return nearest_code(x.to(device), table.to(device)); });
}

TEST(CudaNearestCode, OperandsOfTwoDevicesAreRefused) {
  expect_one_device("nearest_code", {{"x", {2, 3}}, {"codes", {4, 3}}},
                    [](const Tensors& t) { nearest_code(t[0], t[1]); });
}

}  // namespace
}  // namespace terrace
