// Attention by visibility: against the golden cases, against the same thing spelled with plain ops and a dense mask, by
// finite differences, and with input that does not fit.
#include "autograd/ops/attention.h"

#include <cmath>
#include <limits>

#include "autograd/functions.h"
#include "autograd/gradcheck.h"
#include "tensor/pointwise.h"
#include "tests/cuda/one_device.h"
#include "tests/support.h"

namespace terrace {
namespace {

constexpr double kForwardTolerance = 5e-6, kGradientTolerance = 2e-5;  // of ops.h5
constexpr double kLn100 = 4.605170185988092;

/// 0 where the query sees the key, -inf elsewhere.
Variable dense_mask(const Visibility& visibility, int64_t Lq, int64_t Lk, DType dtype) {
  std::vector<double> mask(static_cast<size_t>(Lq * Lk), 0);
  int64_t begin = 0;
  for (const int64_t end : visibility.ends) {
    for (int64_t q = begin; q < end; ++q) {
      for (int64_t k = end; k < Lk; ++k) {
        mask[static_cast<size_t>(q * Lk + k)] = -std::numeric_limits<double>::infinity();
      }
    }
    begin = end;
  }
  return Variable(Here::from(mask, {Lq, Lk}).to(dtype));
}

/// attention() with matmul, add and softmax: the definition.
Variable composite(const Variable& q, const Variable& k, const Variable& v, const Visibility& visibility,
                   double factor) {
  const int64_t B = q.dim(0), Lq = q.dim(1), H = q.dim(2), D = q.dim(3), Lk = k.dim(1);
  const Variable scores = scale(matmul(permute(q, {0, 2, 1, 3}), permute(k, {0, 2, 3, 1})), factor);
  const Variable probs = softmax(scores + dense_mask(visibility, Lq, Lk, q.dtype()));
  return reshape(permute(matmul(probs, permute(v, {0, 2, 1, 3})), {0, 2, 1, 3}), {B, Lq, H * D});
}

Variable third(const Variable& qkv, int64_t which, int64_t heads) {
  const int64_t C = qkv.dim(2) / 3;
  return reshape(slice(qkv, 2, which * C, (which + 1) * C), {qkv.dim(0), qkv.dim(1), heads, C / heads});
}

Variable pyramid_composite(const Variable& qkv, int64_t heads, const Variable& scale_mul, const Visibility& visibility,
                           double factor) {
  Variable q = third(qkv, 0, heads), k = third(qkv, 1, heads);
  if (scale_mul.defined()) {
    q = l2_normalize(q) * reshape(exp(clamp_max(scale_mul, kLn100)), {1, 1, heads, 1});
    k = l2_normalize(k);
  }
  return composite(q, k, third(qkv, 2, heads), visibility, factor);
}

struct Case {
  int64_t B, H, D;
  std::vector<int64_t> patch_nums;
};
const std::vector<Case> kCases = {{1, 1, 1, {1}},           {2, 3, 7, {1, 2, 3}}, {0, 2, 8, {1, 2}},
                                  {1, 2, 16, {1, 2, 3, 4}}, {3, 1, 33, {2, 5}},   {1, 2, 64, {1, 2, 3, 4, 5, 6, 8}},
                                  {1, 1, 129, {1, 6}},      {2, 2, 31, {7}},      {1, 2, 32, {1, 3, 13}}};

Tensor gradient_seed(const Variable& y, uint64_t seed) { return random_tensor(y.shape(), seed, -1, 1, y.dtype()); }

/// (B, H, L, D) of the fixtures to (B, L, H, D).
Tensor tokens_first(const Tensor& t) { return t.permute({0, 2, 1, 3}).contiguous(); }

TEST(Attention, GoldenScaleCausal) {
  const GoldenFile golden("ops.h5");
  const std::string at = "cases/sdpa_scale_causal/";
  const auto leaf = [&](const char* name) {
    return Variable(tokens_first(golden.read(at + "inputs/" + name)), Requires::kGrad);
  };
  const Variable q = leaf("q"), k = leaf("k"), v = leaf("v");
  const Variable y = attention(q, k, v, Visibility::pyramid({1, 2, 3}), 0.25 / std::sqrt(8.0));
  const Shape flat{q.dim(0), q.dim(1), q.dim(2) * q.dim(3)};
  EXPECT_CLOSE(y, tokens_first(golden.read(at + "outputs/y")).view(flat), kForwardTolerance);
  y.backward(tokens_first(golden.read(at + "inputs/w")).view(flat));
  EXPECT_CLOSE(q.grad(), tokens_first(golden.read(at + "grads/q")), kGradientTolerance);
  EXPECT_CLOSE(k.grad(), tokens_first(golden.read(at + "grads/k")), kGradientTolerance);
  EXPECT_CLOSE(v.grad(), tokens_first(golden.read(at + "grads/v")), kGradientTolerance);
}

TEST(Attention, GoldenScaleCausalNormalized) {
  const GoldenFile golden("ops.h5");
  const std::string at = "cases/sdpa_scale_causal_l2/";
  const auto flat = [&](const std::string& name) {  // (B, H, L, D) -> (B, L, C)
    const Tensor t = tokens_first(golden.read(at + name));
    return t.view({t.dim(0), t.dim(1), t.dim(2) * t.dim(3)});
  };
  const Variable q(flat("inputs/q"), Requires::kGrad), k(flat("inputs/k"), Requires::kGrad),
      v(flat("inputs/v"), Requires::kGrad);
  const Variable scale_mul(golden.read(at + "inputs/scale_mul"), Requires::kGrad);
  const Variable y = pyramid_attention(concat({q, k, v}, 2), 3, scale_mul, Visibility::pyramid({1, 2, 3}), 1);
  EXPECT_CLOSE(y, flat("outputs/y"), kForwardTolerance);
  y.backward(flat("inputs/w"));
  EXPECT_CLOSE(q.grad(), flat("grads/q"), kGradientTolerance);
  EXPECT_CLOSE(k.grad(), flat("grads/k"), kGradientTolerance);
  EXPECT_CLOSE(v.grad(), flat("grads/v"), kGradientTolerance);
  EXPECT_CLOSE(scale_mul.grad(), golden.read(at + "grads/scale_mul"), kGradientTolerance);
  EXPECT_EQ(scale_mul.grad().to_vector<double>()[0], 0) << "above ln 100 the multiplier has no gradient";
}

void expect_same_as_composite(const Case& c, DType dtype, bool normalized) {
  SCOPED_TRACE(cat("B ", c.B, " H ", c.H, " D ", c.D, " ", dtype, normalized ? " normalized" : ""));
  const Visibility visibility = Visibility::pyramid(c.patch_nums);
  const int64_t L = visibility.ends.back();
  const double factor = normalized ? 1.0 : 0.7 / std::sqrt(static_cast<double>(c.D));
  const Tensor x = random_tensor({c.B, L, 3 * c.H * c.D}, 11, -2, 2, dtype);
  const Variable a(x, Requires::kGrad), b(x, Requires::kGrad);
  Variable scale_a, scale_b;
  if (normalized) {
    const Tensor scales = random_tensor({1, c.H, 1, 1}, 12, 0.5, 2, dtype);
    scale_a = Variable(scales, Requires::kGrad);
    scale_b = Variable(scales, Requires::kGrad);
  }
  const Variable y = pyramid_attention(a, c.H, scale_a, visibility, factor);
  const Variable expected = pyramid_composite(b, c.H, scale_b, visibility, factor);
  const double tolerance = dtype == DType::kF64 ? 1e-12 : kForwardTolerance;
  EXPECT_CLOSE(y, expected, tolerance);
  y.backward(gradient_seed(y, 13));
  expected.backward(gradient_seed(y, 13));
  EXPECT_CLOSE(a.grad(), b.grad(), 4 * tolerance);
  if (normalized && c.B > 0 && c.D > 1) {
    // One sum over all queries, keys and channels, of terms that cancel: the error grows with the root of their number.
    const double terms = static_cast<double>(c.B * L * c.D);
    EXPECT_CLOSE(scale_a.grad(), scale_b.grad(), tolerance * std::sqrt(terms));
  }
}

TEST(Attention, EqualsTheComposite) {
  for (const Case& c : kCases) {
    for (const DType dtype : {DType::kF32, DType::kF64}) {
      expect_same_as_composite(c, dtype, false);
      expect_same_as_composite(c, dtype, true);
    }
  }
}

TEST(Attention, QueriesAgainstACache) {
  for (const auto& [Lq, Lk] : {std::pair<int64_t, int64_t>{1, 1}, {4, 5}, {25, 155}, {0, 7}, {64, 33}, {129, 129}}) {
    const Tensor cache = random_tensor({2, 200, 2, 3, 16}, 21);  // more room than is filled; k and v side by side
    const Tensor k = cache.slice(1, 0, Lk).select(3, 0), v = cache.slice(1, 0, Lk).select(3, 2);
    const Tensor q = random_tensor({2, 2, Lq, 16}, 22).transpose(1, 2);
    const Variable y = attention(Variable(q), Variable(k), Variable(v), Visibility::full(), 0.3);
    EXPECT_CLOSE(y, composite(Variable(q), Variable(k), Variable(v), Visibility::full(), 0.3), kForwardTolerance);
  }
}

TEST(Attention, LayoutsGiveTheSameBits) {
  const Visibility visibility = Visibility::pyramid({1, 2, 3});
  const Tensor qkv = random_tensor({2, 14, 3, 2, 8}, 31);
  const Variable whole = pyramid_attention(Variable(qkv.view({2, 14, 48})), 2, {}, visibility, 0.4);
  const auto part = [&](int64_t i) { return qkv.select(2, i); };
  EXPECT_SAME(attention(Variable(part(0)), Variable(part(1)), Variable(part(2)), visibility, 0.4), whole);
  const auto transposed = [&](int64_t i) { return Variable(part(i).transpose(1, 3).contiguous().transpose(1, 3)); };
  EXPECT_SAME(attention(transposed(0), transposed(1), transposed(2), visibility, 0.4), whole);
}

TEST(Attention, FeatureMap) {
  const Tensor x = random_tensor({2, 3 * 12, 5, 3}, 41, -2, 2);
  const Variable a(x, Requires::kGrad), b(x, Requires::kGrad);
  const Variable y = feature_map_attention(a, 0.5);
  const auto part = [&](int64_t i) { return reshape(slice(b, 1, 12 * i, 12 * (i + 1)), {2, 12, 15}); };
  const Variable weights = softmax(scale(matmul(transpose(part(0), 1, 2), part(1)), 0.5));
  const Variable expected = reshape(matmul(part(2), transpose(weights, 1, 2)), {2, 12, 5, 3});
  EXPECT_CLOSE(y, expected, kForwardTolerance);
  y.backward(gradient_seed(y, 42));
  expected.backward(gradient_seed(y, 42));
  EXPECT_CLOSE(a.grad(), b.grad(), kGradientTolerance);
}

TEST(Attention, Bf16IsTheRoundedF32) {
  const Visibility visibility = Visibility::pyramid({1, 2, 3, 4});
  const Tensor x = random_tensor({2, 30, 96}, 51, -2, 2).to(DType::kBF16);
  const Variable scale_mul(Here::full({1, 2, 1, 1}, 1.3), Requires::kGrad);
  const Variable a(x, Requires::kGrad), b(x.to(DType::kF32), Requires::kGrad);
  const Variable y = pyramid_attention(a, 2, scale_mul, visibility, 1);
  const Variable expected = pyramid_attention(b, 2, scale_mul.detach(), visibility, 1);
  EXPECT_EQ(y.dtype(), DType::kBF16);
  EXPECT_SAME(y, expected.value().to(DType::kBF16));
  const Tensor dy = gradient_seed(y, 52);
  y.backward(dy);
  expected.backward(dy.to(DType::kF32));
  const Backend backend = backend_of(x.device());
  const bool on_the_cpu = backend == Backend::kAvx2 || backend == Backend::kAvx512;
  // CUDA's kernels take rowsum(y dy) from the rounded y.
  EXPECT_CLOSE(a.grad(), b.grad().to(DType::kBF16), on_the_cpu ? 0 : 8e-3);
}

// Where the processor multiplies pairs of bf16, scores and results are sums of such products.
TEST(Attention, Bf16OfACache) {
  struct Extents {
    int64_t Lq, Lk, H, D;
    double scale;
  };
  for (const auto [Lq, Lk, H, D, scale] :
       {Extents{7, 33, 3, 64, 1}, {50, 131, 2, 40, -0.3}, {1, 1, 1, 2, 1}, {13, 14, 2, 96, 0.1}, {5, 9, 2, 7, 1}}) {
    SCOPED_TRACE(cat(Lq, " queries, ", Lk, " keys, ", H, " heads of ", D));
    const auto rows = [](const Shape& shape, uint64_t seed) {
      return Variable(random_tensor(shape, seed, -1, 1).to(DType::kBF16));
    };
    const Variable q = rows({2, Lq, H, D}, 71), k = rows({2, Lk + 3, H, D}, 72), v = rows({2, Lk + 3, H, D}, 73);
    const Variable keys = slice(k, 1, 0, Lk), values = slice(v, 1, 0, Lk);  // a cache that is not full
    const auto wide = [](const Variable& x) { return to(x, DType::kF64); };
    const Variable expected = composite(wide(q), wide(keys), wide(values), Visibility::full(), scale);
    // Probabilities and the result are rounded once each, by 2^-9 of their size at most, and values are below 1.
    const Variable y = attention(q, keys, values, Visibility::full(), scale);
    const double bound = 0x1p-8;
    const std::vector<double> found = y.value().to_vector<double>(), exact = expected.value().to_vector<double>();
    for (size_t i = 0; i < exact.size(); ++i) { EXPECT_NEAR(found[i], exact[i], bound) << i; }
  }
}

TEST(Attention, ThreadsDoNotChangeABit) {
  const int before = threads();
  std::vector<Tensor> results;
  for (const int count : {1, 2, 3}) {
    set_threads(count);
    const Variable x = random_leaf({3, 55, 60}, 61), scale_mul = random_leaf({1, 5, 1, 1}, 62);
    const Variable y = pyramid_attention(x, 5, scale_mul, Visibility::pyramid({1, 2, 3, 4, 5}), 1);
    y.backward(gradient_seed(y, 63));
    for (const Tensor& t : {y.value(), x.grad(), scale_mul.grad()}) { results.push_back(t); }
  }
  set_threads(before);
  for (size_t i = 3; i < results.size(); ++i) { EXPECT_SAME(results[i], results[i % 3]); }
}

TEST(Attention, ExtremeScoresStayFinite) {
  const Variable x(scale(random_tensor({1, 14, 24}, 71), 1e4), Requires::kGrad);
  const Variable y = pyramid_attention(x, 1, {}, Visibility::pyramid({1, 2, 3}), 1);
  y.backward(gradient_seed(y, 72));
  for (const Tensor& t : {y.value(), x.grad()}) {
    for (const double value : t.to_vector<double>()) { ASSERT_TRUE(std::isfinite(value)); }
  }
}

TEST(Attention, ZeroVectorsNormaliseToZero) {
  const Tensor x = Here::zeros({1, 5, 12});
  const Tensor v = random_tensor({1, 5, 4}, 81);
  x.slice(2, 8, 12).copy_(v);
  const Variable qkv(x, Requires::kGrad), scale_mul(Here::full({1, 1, 1, 1}, 1), Requires::kGrad);
  const Variable y = pyramid_attention(qkv, 1, scale_mul, Visibility::full(), 1);
  EXPECT_CLOSE(y, expand(mean(Variable(v), {1}, KeepDim::kYes), {1, 5, 4}), kForwardTolerance);
  y.backward(gradient_seed(y, 82));
  for (const double value : qkv.grad().to_vector<double>()) { ASSERT_TRUE(std::isfinite(value)); }
}

TEST(Attention, NanShows) {
  Tensor x = random_tensor({1, 5, 12}, 91);
  x.select(1, 4).fill_(std::numeric_limits<double>::quiet_NaN());
  const std::vector<double> y =
      pyramid_attention(Variable(x), 1, {}, Visibility::pyramid({1, 2}), 1).value().to_vector<double>();
  for (size_t i = 0; i < y.size(); ++i) {
    EXPECT_EQ(std::isnan(y[i]), i >= 4) << "element " << i;  // the first scale does not see the last token
  }
}

TEST(Attention, Gradcheck) {
  const Visibility pyramid = Visibility::pyramid({1, 2, 3});
  const auto input = [](const Shape& shape, uint64_t seed) { return random_tensor(shape, seed, -1, 1, DType::kF64); };
  gradcheck("attention", [&](const std::vector<Variable>& in) { return attention(in[0], in[1], in[2], pyramid, 0.6); },
            {input({2, 14, 2, 3}, 1), input({2, 14, 2, 3}, 2), input({2, 14, 2, 3}, 3)});
  gradcheck("attention, cache",
            [&](const std::vector<Variable>& in) { return attention(in[0], in[1], in[2], Visibility::full(), 0.6); },
            {input({2, 3, 2, 5}, 4), input({2, 7, 2, 5}, 5), input({2, 7, 2, 5}, 6)});
  gradcheck("pyramid_attention",
            [&](const std::vector<Variable>& in) { return pyramid_attention(in[0], 2, {}, pyramid, 0.6); },
            {input({1, 14, 18}, 7)});
  gradcheck("pyramid_attention, normalized",
            [&](const std::vector<Variable>& in) { return pyramid_attention(in[0], 2, in[1], pyramid, 1); },
            {input({1, 14, 18}, 8), input({1, 2, 1, 1}, 9)});
  gradcheck("feature_map_attention", [&](const std::vector<Variable>& in) { return feature_map_attention(in[0], 0.6); },
            {input({2, 9, 2, 3}, 10)});
}

TEST(Attention, SaysWhatDoesNotFit) {
  const auto zeros = [](const Shape& shape) { return Variable(Here::zeros(shape)); };
  const Visibility pyramid = Visibility::pyramid({1, 2});
  const Variable q = zeros({1, 5, 2, 4});
  expect_error<ShapeError>([&] { attention(q, zeros({1, 5, 2, 3}), q, pyramid, 1); }, "attention: k");
  expect_error<ShapeError>([&] { attention(q, q, zeros({1, 4, 2, 4}), pyramid, 1); }, "attention: v");
  expect_error<ShapeError>([&] { attention(zeros({5, 2, 4}), q, q, pyramid, 1); }, "attention: q");
  expect_error<DTypeError>(
      [&] {
        attention(q, Variable(Here::zeros({1, 5, 2, 4}, DType::kF64)), q, pyramid, 1);
      },
      "attention: k");
  expect_error<ShapeError>([&] { attention(q, q, q, Visibility{{1, 4}}, 1); }, "visibility ends at token 4");
  expect_error<ShapeError>([&] { attention(q, q, q, Visibility{{3, 3, 5}}, 1); }, "must ascend");
  expect_error<ShapeError>(
      [&] {
        attention(q, zeros({1, 0, 2, 4}), zeros({1, 0, 2, 4}), Visibility::full(), 1);
      },
      "no key to see");
  expect_error<ConfigError>([&] { attention(q, q, q, pyramid, 0); }, "scale must be");
  expect_error<ShapeError>([&] { pyramid_attention(zeros({1, 5, 20}), 2, {}, pyramid, 1); }, "3 x heads x D");
  expect_error<ShapeError>(
      [&] {
        pyramid_attention(zeros({1, 5, 24}), 2, zeros({1, 3, 1, 1}), pyramid, 1);
      },
      "pyramid_attention: scale_mul");
  expect_error<ShapeError>([&] { feature_map_attention(zeros({1, 4, 2, 2}), 1); }, "(B, 3C, H, W)");
  expect_error<ShapeError>([] { Visibility::pyramid({1, 0}); }, "patch numbers");
}

TEST(CudaAttention, OperandsOfTwoDevicesAreRefused) {
  expect_one_device("attention", {{"q", {1, 2, 1, 3}}, {"k", {1, 2, 1, 3}}, {"v", {1, 2, 1, 3}}}, [](const Tensors& t) {
    attention(Variable(t[0]), Variable(t[1]), Variable(t[2]), Visibility::full(), 1);
  });
  expect_one_device("pyramid_attention", {{"qkv", {1, 1, 6}}, {"scale_mul", {1, 2, 1, 1}}}, [](const Tensors& t) {
    pyramid_attention(Variable(t[0]), 2, Variable(t[1]), Visibility::full(), 1);
  });
}

}  // namespace
}  // namespace terrace
