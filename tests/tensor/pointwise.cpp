// Pointwise functions of tensors: every formula of the two lists, against its definition in the C++ library's terms.
#include "tensor/pointwise.h"

#include <cmath>

#include "tensor/overlap.h"
#include "tests/support.h"
#include "tests/tensor/pointwise_oracle.h"

namespace terrace {
namespace {

constexpr DType kF32 = DType::kF32, kF64 = DType::kF64, kBF16 = DType::kBF16;

TEST(Pointwise, EveryUnaryFunctionInEveryType) {
  for_each_op<UnaryOps>([](auto op) {
    using Op = decltype(op);
    for (const Shape& shape : {Shape{}, Shape{0}, Shape{1}, Shape{2, 7}, Shape{31, 33}, Shape{3, 129}}) {
      const Tensor x = random_tensor(shape, 1, Op::kRange.low, Op::kRange.high), dy = random_tensor(shape, 2);
      std::vector<double> y, dx;
      const std::vector<double> xs = x.to_vector<double>(), dys = dy.to_vector<double>();
      for (size_t i = 0; i < xs.size(); ++i) {
        y.push_back(static_cast<double>(definition(op, xs[i])));
        dx.push_back(static_cast<double>(dys[i] * slope_of([&](Real v) { return definition(op, v); }, xs[i])));
      }
      const Tensor expected = Here::from(y, shape), expected_dx = Here::from(dx, shape);
      const Tensor x64 = x.to(kF64), x16 = x.to(kBF16);
      EXPECT_CLOSE(apply(op, x), expected, 1e-6) << Op::kName << shape;
      EXPECT_CLOSE(apply(op, x64), expected, 1e-14) << Op::kName << shape;
      EXPECT_CLOSE(apply(op, x16), expected, 3e-2) << Op::kName << shape;
      EXPECT_CLOSE(apply_backward(op, x, apply(op, x), dy), expected_dx, 2e-6) << Op::kName << shape;
      EXPECT_CLOSE(apply_backward(op, x64, apply(op, x64), dy.to(kF64)), expected_dx, 1e-9) << Op::kName << shape;
      const Tensor y16 = apply(op, x16), dy16 = dy.to(kBF16);
      const Tensor unrounded = apply_backward(op, x16.to(kF32), y16.to(kF32), dy16.to(kF32));
      EXPECT_CLOSE(apply_backward(op, x16, y16, dy16), unrounded, 0x1p-8) << Op::kName << shape;
    }
  });
}

TEST(Pointwise, EveryBinaryFunctionBroadcasts) {
  for_each_op<BinaryOps>([](auto op) {
    using Op = decltype(op);
    const Tensor a = random_tensor({2, 1, 31}, 3, Op::kRange.low, Op::kRange.high);
    const Tensor b = random_tensor({7, 1}, 4, Op::kRange.low, Op::kRange.high);
    const Tensor dy = random_tensor({2, 7, 31}, 5);
    const std::vector<double> as = a.to_vector<double>(), bs = b.to_vector<double>(), dys = dy.to_vector<double>();
    std::vector<double> y, da, db;
    for (size_t i = 0; i < 2; ++i) {
      for (size_t j = 0; j < 7; ++j) {
        for (size_t k = 0; k < 31; ++k) {
          const Real av = as[i * 31 + k], bv = bs[j], weight = dys[y.size()];
          y.push_back(static_cast<double>(definition(op, av, bv)));
          da.push_back(static_cast<double>(weight * slope_of([&](Real v) { return definition(op, v, bv); }, av)));
          db.push_back(static_cast<double>(weight * slope_of([&](Real v) { return definition(op, av, v); }, bv)));
        }
      }
    }
    const Shape shape{2, 7, 31};
    const Tensor expected = Here::from(y, shape);
    EXPECT_CLOSE(apply(op, a, b), expected, 1e-6) << Op::kName;
    EXPECT_CLOSE(apply(op, a.to(kF64), b.to(kF64)), expected, 1e-14) << Op::kName;
    EXPECT_CLOSE(apply_backward(op, Operand::kA, a, b, dy), Here::from(da, shape), 2e-6) << Op::kName;
    EXPECT_CLOSE(apply_backward(op, Operand::kB, a, b, dy), Here::from(db, shape), 2e-6) << Op::kName;
    EXPECT_EQ(apply(op, a, a).shape(), a.shape()) << Op::kName;
    EXPECT_EQ(apply(op, Here::zeros({0, 3}), Here::zeros({1, 1})).shape(), Shape({0, 3})) << Op::kName;
    expect_error<ShapeError>([&] { apply(op, a, Here::zeros({3})); }, Op::kName);
    expect_error<DTypeError>([&] { apply(op, a, b.to(kF64)); }, Op::kName);
  });
}

/// True if f gives something else where its argument `v` is replaced.
template <class F>
bool depends_on(double v, F&& f) {
  const double here = f(v);
  return f(-v) != here || f(v + 10) != here || f(v - 10) != here;
}

TEST(Pointwise, DerivativesReadWhatTheirFormulaSays) {
  for_each_op<UnaryOps>([](auto op) {
    using Op = decltype(op);
    const double x = 0.7 * Op::kRange.low + 0.3 * Op::kRange.high, y = op.f(x);
    EXPECT_EQ(depends_on(x, [&](double v) { return op.df(v, y); }), reads(Op::kReads, Reads::kX)) << Op::kName;
    EXPECT_EQ(depends_on(y, [&](double v) { return op.df(x, v); }), reads(Op::kReads, Reads::kY)) << Op::kName;
    const Tensor tensor = random_tensor({3, 5}, 1, Op::kRange.low, Op::kRange.high), value = apply(op, tensor);
    const Tensor dy = random_tensor({3, 5}, 2), none;
    const Tensor &kept_x = reads(Op::kReads, Reads::kX) ? tensor : none,
                 &kept_y = reads(Op::kReads, Reads::kY) ? value : none;
    EXPECT_SAME(apply_backward(op, kept_x, kept_y, dy), apply_backward(op, tensor, value, dy)) << Op::kName;
  });
  for_each_op<BinaryOps>([](auto op) {
    using Op = decltype(op);
    const double a = 0.7 * Op::kRange.low + 0.3 * Op::kRange.high, b = 0.4 * Op::kRange.low + 0.6 * Op::kRange.high;
    EXPECT_EQ(depends_on(a, [&](double v) { return op.da(v, b); }), reads(Op::kReadsA, Reads::kA)) << Op::kName;
    EXPECT_EQ(depends_on(b, [&](double v) { return op.da(a, v); }), reads(Op::kReadsA, Reads::kB)) << Op::kName;
    EXPECT_EQ(depends_on(a, [&](double v) { return op.db(v, b); }), reads(Op::kReadsB, Reads::kA)) << Op::kName;
    EXPECT_EQ(depends_on(b, [&](double v) { return op.db(a, v); }), reads(Op::kReadsB, Reads::kB)) << Op::kName;
  });
}

TEST(Pointwise, ViewsComputeLikeTheirCopies) {
  const Tensor x = random_tensor({31, 9, 33}, 5, 0.5, 2), y = random_tensor({33, 9, 31}, 6, 0.5, 2);
  EXPECT_SAME(apply(Exp{}, x.transpose(0, 2)), apply(Exp{}, x.transpose(0, 2).contiguous()));
  EXPECT_SAME(add(x.transpose(0, 2), y), add(x.transpose(0, 2).contiguous(), y));
  EXPECT_SAME(mul(x.slice(1, 0, 9, 2), x.slice(1, 4, 9)),
              mul(x.slice(1, 0, 9, 2).contiguous(), x.slice(1, 4, 9).contiguous()));
}

TEST(Pointwise, InPlaceWritesAndCounts) {
  Tensor x = random_tensor({7, 31}, 7);
  const Tensor before = x.clone(), y = random_tensor({31}, 8);
  const uint64_t version = x.version();
  add_(x, y, -2);
  EXPECT_GT(x.version(), version);
  EXPECT_CLOSE(x, add(before, scale(y, -2)), 1e-6);
  scale_(x, 0.5);
  EXPECT_CLOSE(x, scale(add(before, scale(y, -2)), 0.5), 1e-6);
  expect_error<ShapeError>([&] { add_(x, random_tensor({8, 7, 31}, 9)); }, "add_");
  Tensor column = x.select(1, 3);
  const Tensor rest = x.slice(1, 4, 31).clone();
  scale_(column, 0);
  EXPECT_EQ(column.to_vector<float>(), std::vector<float>(7, 0));
  EXPECT_SAME(x.slice(1, 4, 31), rest);
}

TEST(Pointwise, InPlaceReadsOperandsAsTheyWere) {
  const Tensor start = random_tensor({65, 65}, 10);
  Tensor x = start.clone();
  add_(x, x);
  EXPECT_SAME(x, scale(start, 2));
  x = start.clone();
  add_(x, x.transpose(0, 1));
  EXPECT_SAME(x, add(start, start.transpose(0, 1)));
  x = start.clone();
  add_(x, x.select(0, 1));
  EXPECT_SAME(x, add(start, start.select(0, 1)));
  x = start.clone();
  Tensor tail = x.slice(0, 1, 65);
  add_(tail, x.slice(0, 0, 64));
  EXPECT_SAME(tail, add(start.slice(0, 1, 65), start.slice(0, 0, 64)));
}

TEST(Pointwise, InPlaceRefusesExpandedViews) {
  Tensor wide = Here::zeros({3, 1}).expand({3, 4});
  expect_error<ShapeError>([&] { add_(wide, Here::zeros({4})); },
                           cat("add_: cannot write to (3, 4) f32 ", test_device(),
                               ", an expanded view: all elements along dimension 1 are one place in memory; clone() it "
                               "first"));
  expect_error<ShapeError>([&] { scale_(wide, 2); }, "scale_: cannot write to (3, 4)");
  Tensor same = Here::full({1, 4}, 1).expand({1, 4});
  EXPECT_EQ(add_(same, same).to_vector<float>(), std::vector<float>(4, 2)) << "nothing is shared here";
}

TEST(Pointwise, SourcesAreCopiedOnlyWhereTheyMust) {
  const Tensor x = Here::zeros({8, 8});
  EXPECT_TRUE(source_for_write(x, x).shares_storage_with(x));
  EXPECT_TRUE(source_for_write(x.slice(0, 0, 4), x.slice(0, 4, 8)).shares_storage_with(x));
  EXPECT_FALSE(source_for_write(x.slice(0, 0, 4), x.slice(0, 3, 7)).shares_storage_with(x));
  EXPECT_FALSE(source_for_write(x, x.transpose(0, 1)).shares_storage_with(x));
}

TEST(Pointwise, NaNAndInfinityPropagate) {
  const float nan = std::nanf(""), inf = INFINITY;
  const Tensor x = Here::from(std::vector<float>{nan, inf, -inf, 0}, {4});
  EXPECT_TRUE(std::isnan(apply(Relu{}, x).to_vector<float>()[0]));
  EXPECT_TRUE(std::isnan(apply(Clamp{}, x).to_vector<float>()[0]));
  EXPECT_TRUE(std::isnan(apply(Maximum{}, x, Here::zeros({4})).to_vector<float>()[0]));
  EXPECT_TRUE(std::isnan(apply(Minimum{}, Here::zeros({4}), x).to_vector<float>()[0]));
  EXPECT_EQ(apply(Sigmoid{}, x).to_vector<float>()[1], 1);
  EXPECT_EQ(apply(Sigmoid{}, x).to_vector<float>()[2], 0);
  EXPECT_EQ(apply(Exp{}, x).to_vector<float>()[2], 0);
}

}  // namespace
}  // namespace terrace
