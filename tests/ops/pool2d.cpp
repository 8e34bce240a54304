#include "autograd/ops/pool2d.h"

#include <cmath>
#include <limits>

#include "autograd/gradcheck.h"
#include "tests/cuda/parity.h"
#include "tests/support.h"

namespace terrace {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(Pool2d, Golden) {
  const GoldenFile golden("ops.h5");
  const auto check = [&](const std::string& name, auto&& op) {
    SCOPED_TRACE(name);
    Variable x(golden.read("cases/" + name + "/inputs/x"), Requires::kGrad);
    const Variable y = op(x);
    EXPECT_CLOSE(y, golden.read("cases/" + name + "/outputs/y"), 5e-6);
    y.backward(golden.read("cases/" + name + "/inputs/w"));
    EXPECT_CLOSE(x.grad(), golden.read("cases/" + name + "/grads/x"), 2e-5);
  };
  check("avg_pool_3x3_s1_p1_incl", [](const Variable& x) { return avg_pool2d(x, {3, 1, 1}, CountPad::kInclude); });
  check("avg_pool_3x3_s1_p1_excl", [](const Variable& x) { return avg_pool2d(x, {3, 1, 1}, CountPad::kExclude); });
  check("max_pool_3x3_s2", [](const Variable& x) { return max_pool2d(x, {3, 2, 0}); });
  check("max_pool_3x3_s1_p1", [](const Variable& x) { return max_pool2d(x, {3, 1, 1}); });
  check("adaptive_avg_pool_1x1", [](const Variable& x) { return adaptive_avg_pool2d(x, {1, 1}); });
}

/// Straight from the definition, in f64.
Tensor reference_mean(const Tensor& x, const Pool2dOptions& o, CountPad count_pad) {
  const int64_t H = x.dim(2), W = x.dim(3), planes = x.dim(0) * x.dim(1);
  const int64_t h = (H + 2 * o.pad - o.kernel) / o.stride + 1, w = (W + 2 * o.pad - o.kernel) / o.stride + 1;
  const std::vector<double> in = x.to_vector<double>();
  std::vector<double> out;
  for (int64_t p = 0; p < planes; ++p) {
    for (int64_t i = 0; i < h; ++i) {
      for (int64_t j = 0; j < w; ++j) {
        double sum = 0, count = 0;
        for (int64_t u = 0; u < o.kernel; ++u) {
          for (int64_t v = 0; v < o.kernel; ++v) {
            const int64_t r = i * o.stride + u - o.pad, c = j * o.stride + v - o.pad;
            if (r < 0 || r >= H || c < 0 || c >= W) { continue; }
            sum += in[static_cast<size_t>((p * H + r) * W + c)];
            ++count;
          }
        }
        const double all = static_cast<double>(o.kernel * o.kernel);
        out.push_back(sum / (count_pad == CountPad::kInclude ? all : count));
      }
    }
  }
  return Here::from(out, {x.dim(0), x.dim(1), h, w});
}

const std::vector<std::pair<Shape, Pool2dOptions>>& awkward() {
  static const std::vector<std::pair<Shape, Pool2dOptions>> all = {
      {{1, 1, 1, 1}, {1, 1, 0}},   {{1, 2, 1, 1}, {3, 1, 1}},  {{2, 3, 7, 2}, {2, 2, 0}}, {{1, 1, 31, 33}, {3, 2, 1}},
      {{2, 1, 129, 2}, {2, 1, 1}}, {{1, 3, 9, 10}, {2, 5, 0}}, {{0, 3, 4, 4}, {2, 2, 0}}, {{1, 1, 8, 8}, {5, 3, 2}}};
  return all;
}

TEST(Pool2d, MeansOfAwkwardShapes) {
  for (const auto& [shape, options] : awkward()) {
    for (CountPad count_pad : {CountPad::kInclude, CountPad::kExclude}) {
      SCOPED_TRACE(cat(shape, " kernel ", options.kernel, " stride ", options.stride, " pad ", options.pad));
      const Tensor x = random_tensor(shape, 3, 999, 1001);  // a large mean
      const Tensor expected = reference_mean(x, options, count_pad);
      // 25 additions at most; with CountPad::kInclude the border's means are smaller than the largest.
      EXPECT_CLOSE(avg_pool2d(Variable(x), options, count_pad).value().to(DType::kF64), expected, 1e-6);
      EXPECT_CLOSE(avg_pool2d(Variable(x.to(DType::kF64)), options, count_pad), expected, 1e-14);
    }
  }
}

TEST(Pool2d, Gradcheck) {
  for (const auto& [shape, options] : awkward()) {
    if (shape.numel() == 0 || shape.numel() > 200) { continue; }
    SCOPED_TRACE(cat(shape, " kernel ", options.kernel, " stride ", options.stride, " pad ", options.pad));
    // Distinct elements, far enough apart that no step of the check changes which of them is largest.
    std::vector<double> values;
    for (int64_t i = 0; i < shape.numel(); ++i) { values.push_back(0.1 * static_cast<double>(i * 37 % 211)); }
    const Tensor x = Here::from(values, shape);
    gradcheck("avg_pool2d including pad",
              [&](const std::vector<Variable>& in) { return avg_pool2d(in[0], options, CountPad::kInclude); }, {x});
    gradcheck("avg_pool2d excluding pad",
              [&](const std::vector<Variable>& in) { return avg_pool2d(in[0], options, CountPad::kExclude); }, {x});
    gradcheck("max_pool2d", [&](const std::vector<Variable>& in) { return max_pool2d(in[0], options); }, {x});
  }
  const Tensor x = random_tensor({2, 2, 7, 5}, 1, -1, 1, DType::kF64);
  gradcheck("adaptive_avg_pool2d",
            [](const std::vector<Variable>& in) {
              return adaptive_avg_pool2d(in[0], {3, 2});
            },
            {x});
}

TEST(Pool2d, TheFirstOfEqualsTakesTheGradient) {
  Variable x(Here::from(std::vector<float>{1, 5, 5, 5, 2, 5, 0, 0, 0}, {1, 1, 3, 3}), Requires::kGrad);
  const Variable y = max_pool2d(x, {3, 1, 0});
  EXPECT_EQ(y.item<float>(), 5);
  y.backward();
  EXPECT_SAME(x.grad(), Here::from(std::vector<float>{0, 1, 0, 0, 0, 0, 0, 0, 0}, {1, 1, 3, 3}));
}

TEST(Pool2d, TheMaximumOfMinusInfinitiesIsOneOfThem) {
  const double inf = std::numeric_limits<double>::infinity();
  Variable x(Here::full({1, 1, 2, 2}, -inf), Requires::kGrad);
  const Variable y = max_pool2d(x, {3, 1, 1});
  EXPECT_SAME(y.value(), Here::full({1, 1, 2, 2}, -inf));
  y.backward(Here::full({1, 1, 2, 2}, 1));
  EXPECT_SAME(x.grad(), Here::from(std::vector<float>{4, 0, 0, 0}, {1, 1, 2, 2}));
}

TEST(Pool2d, NaNPropagates) {
  const Tensor x =
      Here::from(std::vector<double>{9, kNaN, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}, {1, 1, 4, 4});
  for (const Variable& y : {max_pool2d(Variable(x), {2, 2, 0}), avg_pool2d(Variable(x), {2, 2, 0})}) {
    const std::vector<double> values = y.value().to_vector<double>();
    EXPECT_TRUE(std::isnan(values[0]));
    EXPECT_FALSE(std::isnan(values[1]) || std::isnan(values[2]) || std::isnan(values[3]));
  }
}

TEST(Pool2d, StridedInputsAndBf16) {
  const Tensor x = random_tensor({2, 6, 5, 3}, 1).transpose(1, 3);
  EXPECT_SAME(max_pool2d(Variable(x), {2, 2, 0}).value(), max_pool2d(Variable(x.clone()), {2, 2, 0}).value());
  EXPECT_SAME(avg_pool2d(Variable(x), {2, 2, 0}).value(), avg_pool2d(Variable(x.clone()), {2, 2, 0}).value());
  const Tensor low = x.to(DType::kBF16);
  EXPECT_SAME(avg_pool2d(Variable(low), {3, 1, 1}).value(),
              avg_pool2d(Variable(low.to(DType::kF32)), {3, 1, 1}).value().to(DType::kBF16));
  EXPECT_SAME(max_pool2d(Variable(low), {3, 1, 1}).value(),
              max_pool2d(Variable(low.to(DType::kF32)), {3, 1, 1}).value().to(DType::kBF16));
}

TEST(Pool2d, SaysWhatIsWrong) {
  const Variable x(Here::zeros({1, 2, 4, 5}));
  expect_error<ShapeError>([&] { avg_pool2d(Variable(Here::zeros({4, 5})), {2, 2, 0}); }, "avg_pool2d");
  expect_error<ShapeError>(
      [&] {
        max_pool2d(x, {5, 1, 0});
      },
      "max_pool2d: window 5x5 does not fit into x (1, 2, 4, 5)");
  expect_error<ShapeError>([&] { max_pool2d(Variable(Here::zeros({1, 2, 0, 5})), {2, 1, 1}); }, "does not fit");
  expect_error<ConfigError>([&] { avg_pool2d(x, {3, 1, 2}); }, "pad <= kernel / 2, got kernel 3 stride 1 pad 2");
  expect_error<ConfigError>([&] { avg_pool2d(x, {3, 0, 0}); }, "stride >= 1");
  expect_error<DTypeError>(
      [&] {
        max_pool2d(Variable(Here::zeros({1, 1, 4, 4}, DType::kI64)), {2, 2, 0});
      },
      "max_pool2d");
  expect_error<ShapeError>([&] { adaptive_avg_pool2d(x, {0, 1}); }, "at least one row");
}

TEST(CudaPool2d, AsOnTheCpu) {
  for (const Pool2dOptions& options : {Pool2dOptions{1, 1, 0}, Pool2dOptions{2, 2, 0}, Pool2dOptions{3, 1, 1},
                                       Pool2dOptions{3, 2, 0}, Pool2dOptions{2, 5, 1}}) {
    for (const Shape& x : {Shape{2, 3, 3, 4}, Shape{1, 2, 17, 33}}) {
      for (const CountPad count : {CountPad::kInclude, CountPad::kExclude}) {
        expect_parity([&](const std::vector<Variable>& in) { return avg_pool2d(in[0], options, count); }, {x});
      }
      expect_parity([&](const std::vector<Variable>& in) { return max_pool2d(in[0], options); }, {x});
    }
  }
}

TEST(CudaPool2d, MaximumOfNanAndEquals) {
  Tensor x = Tensor::full({1, 1, 6, 6}, 1);
  x.data<float>()[14] = NAN;
  const auto run = [&](Device device) {
    const Function op = [](const std::vector<Variable>& in) { return max_pool2d(in[0], {3, 2, 1}); };
    return results_on(device, op, {x});
  };
  const Results expected = run(kCpu), actual = run(executor_device());
  EXPECT_SAME(actual.value, expected.value);
  EXPECT_SAME(actual.gradients[0], expected.gradients[0]);
}

}  // namespace
}  // namespace terrace
