#include "autograd/ops/selection.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "autograd/gradcheck.h"
#include "tensor/random.h"
#include "tests/support.h"

namespace terrace {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

Tensor f32(const std::vector<float>& values, const Shape& shape) { return Here::from(values, shape); }
Tensor i64(const std::vector<int64_t>& values, const Shape& shape) { return Here::from(values, shape); }
Tensor u8(const std::vector<uint8_t>& values, const Shape& shape) { return Here::from(values, shape); }
Variable constant(const Tensor& t) { return Variable(t); }

class GoldenSelection : public testing::Test {
 protected:
  Tensor input(const std::string& name, const std::string& argument) {
    return golden_.read("cases/" + name + "/inputs/" + argument);
  }
  Tensor output(const std::string& name, const std::string& what = "y") {
    return golden_.read("cases/" + name + "/outputs/" + what);
  }
  void check_gradient(const std::string& name, const Variable& y, const Variable& x, const std::string& argument) {
    EXPECT_CLOSE(y, output(name), 5e-6);
    if (!x.grad().defined()) { y.backward(input(name, "w")); }
    EXPECT_CLOSE(x.grad(), golden_.read("cases/" + name + "/grads/" + argument), 2e-5);
  }
  GoldenFile golden_{"ops.h5"};
};

TEST_F(GoldenSelection, Where) {
  Variable a(input("where", "a"), Requires::kGrad), b(input("where", "b"), Requires::kGrad);
  const Variable y = where(input("where", "cond"), a, b);
  check_gradient("where", y, a, "a");
  check_gradient("where", y, b, "b");
}

TEST_F(GoldenSelection, Gather) {
  Variable x(input("gather", "x"), Requires::kGrad);
  check_gradient("gather", gather(x, 1, input("gather", "idx")), x, "x");
}

TEST_F(GoldenSelection, Cumsum) {
  Variable x(input("cumsum", "x"), Requires::kGrad);
  check_gradient("cumsum", cumsum(x, -1), x, "x");
}

TEST_F(GoldenSelection, TopkAndSort) {
  Variable x(input("topk", "x"), Requires::kGrad), z(input("sort", "x"), Requires::kGrad);
  const ValuesAndIndices top = topk(x, 5), sorted = sort(z);
  EXPECT_SAME(top.indices, output("topk", "indices"));
  EXPECT_SAME(sorted.indices, output("sort", "indices"));
  check_gradient("topk", top.values, x, "x");
  check_gradient("sort", sorted.values, z, "x");
}

TEST_F(GoldenSelection, Positions) {
  EXPECT_SAME(argmax(input("argmax", "x")), output("argmax"));
  EXPECT_SAME(argmin(input("argmin", "x")), output("argmin"));
  EXPECT_SAME(argmax(input("argmax_ties", "x")), output("argmax_ties"));
  EXPECT_SAME(bincount(input("bincount", "x"), 20), output("bincount"));
}

// --- where ---------------------------------------------------------------------------------------------------------

TEST(Where, BroadcastsOnEverySideAndSumsGradientsBack) {
  const Tensor condition = u8({1, 0, 2}, {3, 1});
  Variable a = random_leaf({2, 1, 1}, 1, -1, 1, DType::kF64), b = random_leaf({4}, 2, -1, 1, DType::kF64);
  const Variable y = where(condition, a, b);
  ASSERT_EQ(y.shape(), (Shape{2, 3, 4}));
  const std::vector<double> av = a.value().to_vector<double>(), bv = b.value().to_vector<double>();
  const std::vector<double> yv = y.value().to_vector<double>();
  for (size_t i = 0; i < yv.size(); ++i) { EXPECT_EQ(yv[i], i / 4 % 3 == 1 ? bv[i % 4] : av[i / 12]); }
  gradcheck("where", [&](const std::vector<Variable>& in) { return where(condition, in[0], in[1]); },
            {a.value(), b.value()});
}

TEST(Where, WhatIsNotChosenDoesNotLeak) {
  Variable a(f32({1, kNaN}, {2}), Requires::kGrad), b(f32({kInf, 4}, {2}), Requires::kGrad);
  const Variable y = where(u8({1, 0}, {2}).to(DType::kBool), a, b);
  EXPECT_SAME(y.value(), f32({1, 4}, {2}));
  y.backward(f32({kInf, 3}, {2}));
  EXPECT_SAME(a.grad(), f32({kInf, 0}, {2}));
  EXPECT_SAME(b.grad(), f32({0, 3}, {2}));
}

TEST(Where, SaysWhatIsWrong) {
  const Variable a(Here::zeros({2, 3}));
  expect_error<DTypeError>([&] { where(Here::zeros({2, 3}), a, a); }, "where: condition must be bool or u8");
  expect_error<DTypeError>([&] { where(u8({1}, {1}), a, constant(Here::zeros({2, 3}, DType::kF64))); }, "where");
  expect_error<ShapeError>([&] { where(u8({1, 1}, {2}), a, a); }, "where");
}

// --- gather --------------------------------------------------------------------------------------------------------

TEST(Gather, EveryDimensionAndSmallerIndices) {
  Variable x = random_leaf({3, 5, 4}, 1, -1, 1, DType::kF64);
  Generator g(3);
  for (int64_t dim = -3; dim < 3; ++dim) {
    for (const Shape& shape : {Shape{3, 5, 4}, Shape{2, 2, 3}, Shape{1, 1, 1}, Shape{3, 0, 4}}) {
      SCOPED_TRACE(cat("dim ", dim, " index ", shape));
      const int64_t along = (dim + 3) % 3;
      const Tensor index = randint(x.dim(along), shape, g).to(test_device());
      const Variable y = gather(x, dim, index);
      const std::vector<double> xs = x.value().to_vector<double>(), ys = y.value().to_vector<double>();
      const std::vector<int64_t> is = index.to_vector<int64_t>();
      for (size_t n = 0; n < ys.size(); ++n) {
        int64_t at[3] = {static_cast<int64_t>(n) / (shape[1] * shape[2]), static_cast<int64_t>(n) / shape[2] % shape[1],
                         static_cast<int64_t>(n) % shape[2]};
        at[along] = is[n];
        ASSERT_EQ(ys[n], xs[static_cast<size_t>((at[0] * 5 + at[1]) * 4 + at[2])]);
      }
      if (y.numel() > 0) {
        gradcheck("gather", [&](const std::vector<Variable>& in) { return gather(in[0], dim, index); }, {x.value()});
      }
    }
  }
}

TEST(Gather, RepeatedPositionsAddUpInOrder) {
  Variable x = random_leaf({4}, 1);
  const Variable y = gather(x, 0, i64({2, 2, 0, 2}, {4}));
  y.backward(f32({1e8F, 1, 5, -1e8F}, {4}));
  EXPECT_SAME(x.grad(), f32({5, 0, 1e8F + 1 - 1e8F, 0}, {4}));
}

TEST(Gather, LargeAndNarrow) {
  const Tensor x = random_tensor({129, 700}, 1);
  Generator g(5);
  const Tensor index = randint(129, {33, 700}, g).to(test_device());
  const Tensor y = gather(constant(x), 0, index).value();
  EXPECT_SAME(y, gather(constant(x.transpose(0, 1)), 1, index.transpose(0, 1)).value().transpose(0, 1).contiguous());
}

TEST(Gather, SaysWhatIsWrong) {
  const Variable x(Here::zeros({2, 3}));
  expect_error<IndexError>([&] { gather(x, 1, i64({0, 3}, {1, 2})); }, "gather: index 3");
  expect_error<IndexError>([&] { gather(x, 1, i64({0, -1}, {1, 2})); }, "outside [0, 3)");
  expect_error<IndexError>([&] { gather(x, 2, i64({0}, {1, 1})); }, "gather");
  expect_error<ShapeError>([&] { gather(x, 1, i64({0, 0, 0}, {3, 1})); }, "must not exceed x outside dimension 1");
  expect_error<ShapeError>([&] { gather(x, 1, i64({0}, {1})); }, "gather");
  expect_error<ShapeError>([&] { gather(constant(Here::scalar(1)), 0, i64({0}, {1})); }, "at least one dimension");
  expect_error<DTypeError>([&] { gather(x, 1, Here::zeros({2, 1})); }, "gather");
}

// --- cumsum --------------------------------------------------------------------------------------------------------

TEST(Cumsum, EveryDimension) {
  for (const Shape& shape : {Shape{1}, Shape{7}, Shape{129}, Shape{2, 33, 3}, Shape{2, 0, 3}, Shape{3, 2, 300}}) {
    for (int64_t dim = 0; dim < shape.size(); ++dim) {
      SCOPED_TRACE(cat(shape, " dim ", dim));
      const Tensor x = random_tensor(shape, 1, 999, 1001);
      Tensor expected = x.to(DType::kF64).clone();
      for (int64_t i = 1; i < shape[dim]; ++i) {
        Tensor row = expected.select(dim, i);
        const Tensor before = expected.select(dim, i - 1).clone();
        const std::vector<double> a = row.to_vector<double>(), b = before.to_vector<double>();
        std::vector<double> sum(a.size());
        for (size_t n = 0; n < a.size(); ++n) { sum[n] = a[n] + b[n]; }
        row.copy_(Here::from(sum, row.shape()));
      }
      EXPECT_SAME(cumsum(constant(x), dim).value(), expected.to(DType::kF32));  // sums are kept in f64
      if (x.numel() > 0 && x.numel() < 300) {
        gradcheck("cumsum", [&](const std::vector<Variable>& in) { return cumsum(in[0], dim); },
                  {random_tensor(shape, 2, -1, 1, DType::kF64)});
      }
    }
  }
  expect_error<IndexError>([] { cumsum(constant(Here::zeros({2})), 1); }, "cumsum");
  expect_error<ShapeError>([] { cumsum(constant(Here::scalar(1)), 0); }, "cumsum");
  expect_error<DTypeError>([] { cumsum(constant(Here::arange(3)), 0); }, "cumsum");
}

// --- topk, sort ----------------------------------------------------------------------------------------------------

/// Few distinct values, so that there are ties, and some NaN.
Tensor with_ties(const Shape& shape, uint64_t seed, DType dtype) {
  Generator g(seed);
  std::vector<float> values = randint(9, shape, g).to_vector<float>();
  for (float& v : values) { v = v == 8 ? kNaN : v == 7 ? -kInf : v; }
  return Here::from(values, shape).to(dtype);
}

std::vector<int64_t> stable_order(const std::vector<double>& row, SortOrder order) {
  std::vector<int64_t> index(row.size());
  std::iota(index.begin(), index.end(), 0);
  const auto below = [](double a, double b) { return std::isnan(b) ? !std::isnan(a) : a < b; };
  std::stable_sort(index.begin(), index.end(), [&](int64_t i, int64_t j) {
    const double a = row[static_cast<size_t>(i)], b = row[static_cast<size_t>(j)];
    return order == SortOrder::kAscending ? below(a, b) : below(b, a);
  });
  return index;
}

TEST(Sort, IsStableWithNaNLargest) {
  for (DType dtype : {DType::kF32, DType::kF64, DType::kBF16}) {
    for (int64_t extent : {0, 1, 2, 7, 31, 129, 1000}) {
      for (SortOrder order : {SortOrder::kAscending, SortOrder::kDescending}) {
        SCOPED_TRACE(cat(extent, " ", dtype));
        const Tensor x = with_ties({3, extent}, 7, dtype);
        const ValuesAndIndices sorted = sort(constant(x), order);
        for (int64_t r = 0; r < 3; ++r) {
          const std::vector<int64_t> expected = stable_order(x.select(0, r).to_vector<double>(), order);
          EXPECT_EQ(sorted.indices.select(0, r).to_vector<int64_t>(), expected);
        }
        EXPECT_SAME(sorted.values.value(), gather(constant(x), 1, sorted.indices).value());
      }
    }
  }
}

TEST(Topk, IsThePrefixOfTheDescendingOrder) {
  for (int64_t extent : {1, 2, 33, 1000}) {
    const Tensor x = with_ties({2, 3, extent}, 11, DType::kF32);
    const ValuesAndIndices sorted = sort(constant(x), SortOrder::kDescending);
    for (int64_t k : {int64_t{0}, int64_t{1}, extent / 2, extent}) {
      const ValuesAndIndices top = topk(constant(x), k);
      EXPECT_SAME(top.indices, sorted.indices.slice(2, 0, k).contiguous());
      EXPECT_SAME(top.values.value(), sorted.values.value().slice(2, 0, k).contiguous());
    }
  }
}

TEST(Topk, GradientsGoToThePositionsChosen) {
  std::vector<double> values;  // distinct, apart by more than any step of the check
  for (int64_t i = 0; i < 24; ++i) { values.push_back(0.1 * static_cast<double>(i * 7 % 24)); }
  const Tensor x = Here::from(values, {2, 12});
  gradcheck("topk", [](const std::vector<Variable>& in) { return topk(in[0], 4).values; }, {x});
  gradcheck("sort", [](const std::vector<Variable>& in) { return sort(in[0], SortOrder::kDescending).values; }, {x});
}

TEST(Topk, StridedInputsAndErrors) {
  const Tensor x = random_tensor({7, 5}, 1).transpose(0, 1);
  EXPECT_SAME(topk(constant(x), 3).indices, topk(constant(x.clone()), 3).indices);
  expect_error<IndexError>([&] { topk(constant(x), 8); }, "topk: k must be in [0, 7], got 8");
  expect_error<IndexError>([&] { topk(constant(x), -1); }, "got -1");
  expect_error<ShapeError>([&] { sort(constant(Here::scalar(1))); }, "sort: x must have at least one dimension");
  expect_error<DTypeError>([&] { sort(constant(Here::arange(3))); }, "sort");
}

// --- argmax, argmin, bincount --------------------------------------------------------------------------------------

TEST(ArgExtreme, TakesTheFirstOfEqualsAndTheFirstNaN) {
  const Tensor x = f32({1,    3,    3,    0,     0,     2,  //
                        kNaN, 9,    kNaN, -9,    9,     9,  //
                        kInf, kInf, 0,    -kInf, -kInf, 1, 0, -0.0F, 5, kNaN, kNaN, 7},
                       {4, 6});
  EXPECT_SAME(argmax(x), i64({1, 0, 0, 3}, {4}));
  EXPECT_SAME(argmin(x), i64({3, 0, 3, 3}, {4}));
  EXPECT_SAME(argmax(x.to(DType::kF64)), i64({1, 0, 0, 3}, {4}));
  EXPECT_SAME(argmin(x.to(DType::kBF16)), i64({3, 0, 3, 3}, {4}));
  EXPECT_SAME(argmax(i64({3, 1, 3, 7, 7, 0}, {2, 3}), 1), i64({0, 0}, {2}));
}

TEST(ArgExtreme, EveryDimension) {
  const Tensor x = random_tensor({5, 33, 300}, 1);
  for (int64_t dim = 0; dim < 3; ++dim) {
    const Tensor last = x.transpose(dim, 2), index = argmax(last, -1);
    const Tensor direct = argmax(x, dim);
    EXPECT_SAME(dim == 0 ? index.transpose(0, 1).contiguous() : index, direct);
  }
  EXPECT_EQ(argmin(Here::zeros({0, 4}), 1).shape(), Shape{0});
  expect_error<ShapeError>([] { argmax(Here::zeros({4, 0}), 1); }, "argmax: dimension 1 of x is empty");
  expect_error<IndexError>([] { argmin(Here::zeros({4}), 1); }, "argmin");
  expect_error<ShapeError>([] { argmin(Here::scalar(1)); }, "argmin");
}

TEST(Bincount, RefusesWhatIsNoIndex) {
  for (const int64_t value : {std::numeric_limits<int64_t>::max(), int64_t{1} << 40}) {
    expect_error<IndexError>([&] { bincount(Here::from(std::vector<int64_t>{value}, {1})); }, "must be below");
  }
}

TEST(Bincount, CountsAndGrows) {
  EXPECT_SAME(bincount(i64({3, 0, 3, 1}, {2, 2})), i64({1, 1, 0, 2}, {4}));
  EXPECT_SAME(bincount(i64({3, 0}, {2}), 6), i64({1, 0, 0, 1, 0, 0}, {6}));
  EXPECT_SAME(bincount(i64({}, {0}), 2), i64({0, 0}, {2}));
  EXPECT_SAME(bincount(i64({}, {0})), i64({}, {0}));
  expect_error<IndexError>([] { bincount(i64({1, -2}, {2})); }, "must not be negative, got -2");
  expect_error<DTypeError>([] { bincount(Here::zeros({2})); }, "bincount");
}

// --- nearest_code --------------------------------------------------------------------------------------------------

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

}  // namespace
}  // namespace terrace
