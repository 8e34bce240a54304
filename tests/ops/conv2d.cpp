#include "autograd/ops/conv2d.h"

#include <array>
#include <cmath>
#include <thread>

#include "autograd/gradcheck.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "tensor/device/device.h"
#include "tests/cuda/one_device.h"
#include "tests/support.h"

namespace terrace {
namespace {

struct Case {
  Shape x, weight;
  Conv2dOptions options;
};

/// Sums in f64, straight from the formula: y, and the gradients of sum(y * dy).
struct Reference {
  Tensor y, dx, dweight, dbias;
};

Reference reference(const Tensor& x32, const Tensor& w32, const Tensor& b32, const Tensor& dy32,
                    const Conv2dOptions& o) {
  const auto exact = [](const Tensor& t) { return t.to(kCpu).to(DType::kF64); };
  const Tensor x = exact(x32), w = exact(w32), b = exact(b32), dy = exact(dy32);
  Reference r{Tensor::zeros(dy.shape(), DType::kF64), Tensor::zeros(x.shape(), DType::kF64),
              Tensor::zeros(w.shape(), DType::kF64), Tensor::zeros(b.shape(), DType::kF64)};
  const int64_t B = x.dim(0), C = x.dim(1), H = x.dim(2), W = x.dim(3), O = w.dim(0), kh = w.dim(2), kw = w.dim(3);
  const int64_t h = dy.dim(2), v_out = dy.dim(3);
  const double *xp = x.data<double>(), *wp = w.data<double>(), *dp = dy.data<double>();
  int64_t at = 0;
  for (int64_t n = 0; n < B; ++n) {
    for (int64_t oc = 0; oc < O; ++oc) {
      for (int64_t i = 0; i < h; ++i) {
        for (int64_t j = 0; j < v_out; ++j, ++at) {
          double sum = b.data<double>()[oc];
          r.dbias.data<double>()[oc] += dp[at];
          for (int64_t c = 0; c < C; ++c) {
            for (int64_t u = 0; u < kh; ++u) {
              for (int64_t v = 0; v < kw; ++v) {
                const int64_t row = i * o.stride + u - o.pad.top, col = j * o.stride + v - o.pad.left;
                if (row < 0 || row >= H || col < 0 || col >= W) { continue; }
                const int64_t xi = ((n * C + c) * H + row) * W + col, wi = ((oc * C + c) * kh + u) * kw + v;
                sum += xp[xi] * wp[wi];
                r.dx.data<double>()[xi] += wp[wi] * dp[at];
                r.dweight.data<double>()[wi] += xp[xi] * dp[at];
              }
            }
          }
          r.y.data<double>()[at] = sum;
        }
      }
    }
  }
  return r;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{2, 3, 8, 9}, {4, 3, 3, 3}, {1, {1, 1, 1, 1}}},
      {{1, 1, 1, 1}, {1, 1, 1, 1}, {}},
      {{1, 1, 1, 1}, {2, 1, 3, 3}, {1, {1, 1, 1, 1}}},
      {{2, 7, 5, 2}, {1, 7, 1, 1}, {2, {}}},
      {{3, 31, 7, 6}, {33, 31, 3, 3}, {2, {0, 1, 0, 1}}},
      {{1, 2, 129, 3}, {2, 2, 5, 5}, {1, {2, 2, 2, 2}}},
      {{2, 5, 6, 11}, {3, 5, 1, 7}, {1, {0, 0, 3, 3}}},
      {{2, 5, 11, 6}, {3, 5, 7, 1}, {1, {3, 3, 0, 0}}},
      {{5, 31, 7, 3}, {33, 31, 1, 1}, {}},
      {{2, 4, 9, 10}, {6, 4, 4, 4}, {2, {1, 1, 1, 1}}},
      {{1, 16, 13, 13}, {8, 16, 3, 3}, {2, {}}},
      {{1, 3, 4, 5}, {2, 3, 3, 2}, {1, {4, 0, 0, 3}}},    // more padding than kernel
      {{2, 2, 10, 10}, {2, 2, 3, 3}, {4, {0, 0, 0, 0}}},  // rows that no window reaches
      {{2, 32, 16, 16}, {32, 32, 3, 3}, {1, {1, 1, 1, 1}}},
      {{1, 64, 8, 8}, {3, 64, 3, 3}, {1, {1, 1, 1, 1}}},
  };
  return all;
}

Tensor cotangent_for(const Variable& y, uint64_t seed) { return random_tensor(y.shape(), seed, -1, 1, y.dtype()); }

void compare_with_reference(DType dtype, double epsilon) {
  uint64_t seed = 1;
  for (const Case& c : cases()) {
    SCOPED_TRACE(cat("x ", c.x, " weight ", c.weight, " stride ", c.options.stride));
    Variable x = random_leaf(c.x, ++seed, -1, 1, dtype), w = random_leaf(c.weight, ++seed, -1, 1, dtype);
    Variable b = random_leaf({c.weight[0]}, ++seed, -1, 1, dtype);
    const Variable y = conv2d(x, w, b, c.options);
    const Tensor dy = cotangent_for(y, ++seed);
    y.backward(dy);
    const Reference r = reference(x.value(), w.value(), b.value(), dy, c.options);
    // Random-sign sums of n products lose about eps * sqrt(n) of their size; 8 covers the largest of many.
    const auto tolerance = [epsilon](int64_t terms) { return 8 * epsilon * std::sqrt(static_cast<double>(terms)); };
    const int64_t window = c.weight[1] * c.weight[2] * c.weight[3], positions = y.numel() / c.weight[0];
    EXPECT_CLOSE(y.value().to(DType::kF64), r.y, tolerance(window));
    EXPECT_CLOSE(x.grad().to(DType::kF64), r.dx, tolerance(c.weight[0] * c.weight[2] * c.weight[3]));
    EXPECT_CLOSE(w.grad().to(DType::kF64), r.dweight, tolerance(positions));
    EXPECT_CLOSE(b.grad().to(DType::kF64), r.dbias, tolerance(positions));
  }
}

TEST(Conv2d, F32AgreesWithTheFormula) { compare_with_reference(DType::kF32, 6e-8); }
TEST(Conv2d, F64AgreesWithTheFormula) { compare_with_reference(DType::kF64, 1.2e-16); }

// Images large enough for Winograd's algorithm, against the f64 path, which the cases above check. Its error does not
// grow with the channels as that of summation does.
TEST(Conv2d, LargeImagesAgreeWithF64) {
  const std::vector<Case> large = {
      {{2, 32, 33, 31}, {5, 32, 3, 3}, {1, {1, 1, 1, 1}}},      // tiles that leave the image, few channels out
      {{1, 48, 34, 40}, {33, 48, 3, 3}, {1, {0, 0, 0, 0}}},     // no padding
      {{1, 35, 40, 30}, {32, 35, 3, 3}, {1, {2, 0, 0, 2}}},     // of its own at each side
      {{1, 32, 30, 30}, {32, 32, 3, 3}, {1, {5, 1, 0, 3}}},     // more than the kernel: forward alone
      {{1, 32, 4, 301}, {32, 32, 3, 3}, {1, {1, 1, 1, 1}}},     // more tiles in a row than a block wants
      {{1, 32, 700, 2}, {40, 32, 3, 3}, {1, {1, 1, 1, 1}}},     // one tile in a row
      {{300, 32, 2, 2}, {32, 32, 3, 3}, {1, {1, 1, 1, 1}}},     // blocks across images
      {{3, 400, 19, 21}, {350, 400, 3, 3}, {1, {1, 1, 1, 1}}},  // sums in two chunks of channels
      {{1, 401, 17, 16}, {29, 401, 3, 3}, {1, {1, 1, 1, 1}}},   // few tiles: some out channels after the other
      {{9, 37, 5, 7}, {35, 37, 3, 3}, {1, {0, 2, 1, 1}}},       // few, of several images in a vector
  };
  uint64_t seed = 77;
  for (const Case& c : large) {
    SCOPED_TRACE(cat("x ", c.x, " weight ", c.weight));
    const auto run = [&, first = seed](DType dtype) {
      std::vector<Variable> in;
      for (const Shape& shape : {c.x, c.weight, Shape{c.weight[0]}}) {
        in.emplace_back(random_tensor(shape, first + in.size(), -1, 1, DType::kF32).to(dtype), Requires::kGrad);
      }
      const Variable y = conv2d(in[0], in[1], in[2], c.options);
      y.backward(random_tensor(y.shape(), first + 3, -1, 1, DType::kF32).to(dtype));
      return std::array<Tensor, 3>{y.value().to(DType::kF64), in[0].grad().to(DType::kF64),
                                   in[1].grad().to(DType::kF64)};
    };
    const auto ours = run(DType::kF32), exact = run(DType::kF64);
    EXPECT_CLOSE(ours[0], exact[0], 5e-6);
    EXPECT_CLOSE(ours[1], exact[1], 5e-6);
    EXPECT_CLOSE(ours[2], exact[2], 5e-6);
    seed += 10;
  }
}

// Few tiles are shared out by channels, many by tiles: the sums are the same.
TEST(Conv2d, AnImagesBitsDoNotDependOnItsBatch) {
  const NoGrad no_grad;
  const Tensor x = random_tensor({8, 400, 16, 16}, 5, -1, 1, DType::kF32);
  const Variable weight(random_tensor({50, 400, 3, 3}, 6, -1, 1, DType::kF32));
  const auto y = [&](const Tensor& images) { return conv2d(Variable(images), weight, {}, {1, {1, 1, 1, 1}}).value(); };
  const Tensor all = y(x);
  for (int64_t i = 0; i < 8; i += 7) { EXPECT_CLOSE(y(x.slice(0, i, i + 1)), all.slice(0, i, i + 1), 0); }
}

TEST(Conv2d, Golden) {
  const GoldenFile golden("ops.h5");
  const std::vector<std::pair<std::string, Conv2dOptions>> all = {
      {"conv2d_3x3_p1", {1, {1, 1, 1, 1}}},
      {"conv2d_3x3_s2_asym", {2, {0, 1, 0, 1}}},
      {"conv2d_1x1", {}},
      {"conv2d_1x7", {1, {0, 0, 3, 3}}},
      {"conv2d_7x1", {1, {3, 3, 0, 0}}},
      {"conv2d_5x5", {1, {2, 2, 2, 2}}},
      {"conv2d_3x3_s2_nobias", {2, {}}},
      {"conv2d_4x4_s2_p1", {2, {1, 1, 1, 1}}},
  };
  for (const auto& [name, options] : all) {
    SCOPED_TRACE(name);
    const std::string path = "cases/" + name;
    Variable x(golden.read(path + "/inputs/x"), Requires::kGrad);
    Variable weight(golden.read(path + "/inputs/weight"), Requires::kGrad), bias;
    if (golden.has(path + "/inputs/bias")) { bias = Variable(golden.read(path + "/inputs/bias"), Requires::kGrad); }
    const Variable y = conv2d(x, weight, bias, options);
    EXPECT_CLOSE(y, golden.read(path + "/outputs/y"), 5e-6);
    y.backward(golden.read(path + "/inputs/w"));
    EXPECT_CLOSE(x.grad(), golden.read(path + "/grads/x"), 2e-5);
    EXPECT_CLOSE(weight.grad(), golden.read(path + "/grads/weight"), 2e-5);
    if (bias.defined()) { EXPECT_CLOSE(bias.grad(), golden.read(path + "/grads/bias"), 2e-5); }
  }
}

TEST(Conv2d, Gradcheck) {
  const std::vector<Case> few = {{{2, 2, 5, 4}, {3, 2, 3, 3}, {1, {1, 1, 1, 1}}},
                                 {{1, 2, 6, 6}, {2, 2, 3, 3}, {2, {0, 1, 0, 1}}},
                                 {{2, 3, 4, 3}, {2, 3, 1, 1}, {}}};
  for (const Case& c : few) {
    const auto f = [&](const std::vector<Variable>& in) { return conv2d(in[0], in[1], in[2], c.options); };
    gradcheck("conv2d", f,
              {random_tensor(c.x, 1, -1, 1, DType::kF64), random_tensor(c.weight, 2, -1, 1, DType::kF64),
               random_tensor({c.weight[0]}, 3, -1, 1, DType::kF64)});
  }
}

TEST(Conv2d, GivesOnlyTheGradientsThatAreWanted) {
  const Conv2dOptions options{1, {1, 1, 1, 1}};
  for (int mask = 1; mask < 8; ++mask) {
    const auto requires_if = [mask](int bit) { return (mask & bit) != 0 ? Requires::kGrad : Requires::kNothing; };
    Variable x(random_tensor({2, 3, 5, 5}, 1), requires_if(1)), w(random_tensor({4, 3, 3, 3}, 2), requires_if(2));
    Variable b(random_tensor({4}, 3), requires_if(4));
    const Variable y = conv2d(x, w, b, options);
    const Tensor dy = random_tensor(y.shape(), 4);
    y.backward(dy);
    const Reference r = reference(x.value(), w.value(), b.value(), dy, options);
    for (const auto& [variable, expected] : {std::pair{x, r.dx}, {w, r.dweight}, {b, r.dbias}}) {
      ASSERT_EQ(variable.grad().defined(), variable.requires_grad());
      if (variable.requires_grad()) { EXPECT_CLOSE(variable.grad().to(DType::kF64), expected, 2e-6); }
    }
  }
}

TEST(Conv2d, StridedInputsGiveTheBitsOfContiguousOnes) {
  const Tensor x = random_tensor({2, 6, 7, 5}, 1), w = random_tensor({3, 5, 3, 3}, 2);
  const Tensor x_strided = x.transpose(1, 3),
               w_strided = random_tensor({3, 3, 5, 3}, 3).transpose(0, 3).permute({3, 2, 1, 0});
  const Conv2dOptions options{1, {1, 1, 1, 1}};
  EXPECT_SAME(conv2d(Variable(x_strided), Variable(w), {}, options).value(),
              conv2d(Variable(x_strided.clone()), Variable(w), {}, options).value());
  EXPECT_SAME(conv2d(Variable(x_strided), Variable(w_strided), {}, options).value(),
              conv2d(Variable(x_strided.clone()), Variable(w_strided.clone()), {}, options).value());
}

TEST(Conv2d, Bf16IsTheRoundedF32Result) {
  Variable x = random_leaf({2, 16, 9, 8}, 1, -1, 1, DType::kBF16),
           w = random_leaf({8, 16, 3, 3}, 2, -1, 1, DType::kBF16);
  Variable b = random_leaf({8}, 3, -1, 1, DType::kBF16);
  Variable xf(x.value().to(DType::kF32), Requires::kGrad), wf(w.value().to(DType::kF32), Requires::kGrad);
  Variable bf(b.value().to(DType::kF32), Requires::kGrad);
  const Conv2dOptions options{2, {0, 1, 0, 1}};
  const Variable y = conv2d(x, w, b, options), yf = conv2d(xf, wf, bf, options);
  ASSERT_EQ(y.dtype(), DType::kBF16);
  EXPECT_SAME(y.value(), yf.value().to(DType::kBF16));
  const Tensor dy = random_tensor(y.shape(), 4, -1, 1, DType::kBF16);
  y.backward(dy);
  yf.backward(dy.to(DType::kF32));
  EXPECT_SAME(x.grad(), xf.grad().to(DType::kBF16));
  EXPECT_SAME(w.grad(), wf.grad().to(DType::kBF16));
  EXPECT_SAME(b.grad(), bf.grad().to(DType::kBF16));
}

struct Results {
  Tensor y, dx, dweight, dbias;
};

Results run_once(const Shape& x_shape, const Shape& w_shape, const Conv2dOptions& options) {
  Variable x = random_leaf(x_shape, 1), w = random_leaf(w_shape, 2), b = random_leaf({w_shape[0]}, 3);
  const Variable y = conv2d(x, w, b, options);
  y.backward(random_tensor(y.shape(), 4));
  return {y.value(), x.grad(), w.grad(), b.grad()};
}

void expect_same(const Results& a, const Results& b) {
  EXPECT_SAME(a.y, b.y);
  EXPECT_SAME(a.dx, b.dx);
  EXPECT_SAME(a.dweight, b.dweight);
  EXPECT_SAME(a.dbias, b.dbias);
}

TEST(Conv2d, IsBitIdenticalFromRunToRun) {
  for (int64_t kernel : {1, 3}) {
    for (int64_t batch : {1, 7}) {
      const Shape x{batch, 24, 16, 16}, w{40, 24, kernel, kernel};
      const Conv2dOptions options{1, {kernel / 2, kernel / 2, kernel / 2, kernel / 2}};
      const Results first = run_once(x, w, options);
      for (int run = 0; run < 4; ++run) { expect_same(run_once(x, w, options), first); }
    }
  }
}

TEST(Conv2d, ThreadsShareWhatIsPrepared) {
  const Shape x{2, 8, 12, 12}, w{8, 8, 3, 3};
  const Conv2dOptions options{1, {1, 1, 1, 1}};
  const int count = threads();
  const Results expected = run_once(x, w, options);
  std::vector<Results> results(4);
  std::vector<std::thread> workers;
  for (Results& result : results) {
    workers.emplace_back([&result, &x, &w, &options, count] {
      set_threads(count);
      result = run_once(x, w, options);
    });
  }
  for (std::thread& worker : workers) { worker.join(); }
  for (const Results& result : results) { expect_same(result, expected); }
}

// Products of 1x1 kernels, Winograd's algorithm and oneDNN, in one and in several ranges of images.
TEST(Conv2d, TheNumberOfThreadsChangesNoBit) {
  const int before = threads();
  struct Shapes {
    Shape x, w;
    int64_t stride;
  };
  const Shapes cases[] = {{{2, 8, 12, 12}, {8, 8, 3, 3}, 1},    {{9, 16, 16, 16}, {24, 16, 3, 3}, 1},
                          {{5, 32, 16, 16}, {40, 32, 3, 3}, 1}, {{7, 48, 20, 20}, {40, 48, 1, 1}, 1},
                          {{8, 16, 33, 33}, {16, 16, 3, 3}, 2}, {{3, 3, 32, 32}, {32, 3, 3, 3}, 1}};
  for (const Shapes& c : cases) {
    const int64_t pad = c.stride == 1 ? c.w[2] / 2 : 0;
    const Conv2dOptions options{c.stride, {pad, pad, pad, pad}};
    set_threads(1);
    const Results one = run_once(c.x, c.w, options);
    for (int count : {2, 3, 5}) {
      set_threads(count);
      expect_same(run_once(c.x, c.w, options), one);
    }
  }
  set_threads(before);
}

TEST(Conv2d, AnEmptyBatchGivesEmptyResultsAndZeroGradients) {
  Variable x = random_leaf({0, 3, 5, 5}, 1), w = random_leaf({2, 3, 3, 3}, 2), b = random_leaf({2}, 3);
  const Variable y = conv2d(x, w, b, {});
  EXPECT_EQ(y.shape(), (Shape{0, 2, 3, 3}));
  y.backward(Here::zeros(y.shape()));
  EXPECT_EQ(x.grad().shape(), x.shape());
  EXPECT_SAME(w.grad(), Here::zeros(w.shape()));
  EXPECT_SAME(b.grad(), Here::zeros(b.shape()));
}

TEST(Conv2d, SaysWhatIsWrong) {
  const Variable x(Here::zeros({2, 3, 8, 8})), w(Here::zeros({4, 3, 3, 3})), b(Here::zeros({4}));
  expect_error<ShapeError>([&] { conv2d(Variable(Here::zeros({3, 8, 8})), w, b); }, "conv2d");
  expect_error<ShapeError>([&] { conv2d(x, Variable(Here::zeros({4, 2, 3, 3})), b); }, "C = x's 3 channels");
  expect_error<ShapeError>([&] { conv2d(x, Variable(Here::zeros({4, 3, 0, 3})), b); }, "extent of 0");
  expect_error<ShapeError>([&] { conv2d(x, w, Variable(Here::zeros({3}))); }, "bias");
  expect_error<ShapeError>(
      [&] {
        conv2d(x, Variable(Here::zeros({4, 3, 9, 9})), b);
      },
      "kernel 9x9 does not fit into x (2, 3, 8, 8)");
  expect_error<ConfigError>([&] { conv2d(x, w, b, {.stride = 0, .pad = {}}); }, "stride must be at least 1, got 0");
  expect_error<ConfigError>([&] { conv2d(x, w, b, {.stride = 1, .pad = {0, 0, -1, 0}}); }, "left -1");
  expect_error<DTypeError>([&] { conv2d(x, Variable(Here::zeros({4, 3, 3, 3}, DType::kF64)), b); }, "weight");
  expect_error<DTypeError>(
      [&] {
        conv2d(Variable(Here::zeros({2, 3, 8, 8}, DType::kI64)), Variable(Here::zeros({4, 3, 3, 3}, DType::kI64)), {});
      },
      "needs f32, bf16 or f64");
}

TEST(CudaConv2d, OperandsOfTwoDevicesAreRefused) {
  expect_one_device("conv2d", {{"x", {1, 2, 3, 3}}, {"weight", {4, 2, 3, 3}}, {"bias", {4}}},
                    [](const Tensors& t) { conv2d(Variable(t[0]), Variable(t[1]), Variable(t[2])); });
}

}  // namespace
}  // namespace terrace
