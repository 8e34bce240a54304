// Attention by CUDA's kernels in the executor: compared with the CPU's at awkward shapes, the same bits every time, and
// hidden keys are never read.
#include "autograd/ops/attention.h"

#include <cmath>
#include <limits>

#include "tests/cuda/parity.h"

namespace terrace {
namespace {

struct Case {
  int64_t B, H, D;
  std::vector<int64_t> patch_nums;
};

Function pyramid(const Case& c, double scale) {
  return [c, scale](const std::vector<Variable>& in) {
    return pyramid_attention(in[0], c.H, {}, Visibility::pyramid(c.patch_nums), scale);
  };
}
/// Multipliers of (1, H, 1, 1), of the type that sums are kept in.
Function normalized_pyramid(const Case& c, const Tensor& multipliers) {
  return [c, multipliers](const std::vector<Variable>& in) {
    const DType sums = in[0].dtype() == DType::kF64 ? DType::kF64 : DType::kF32;
    const Variable given = in.size() > 1 ? in[1] : Variable(multipliers.to(sums).to(in[0].value().device()));
    return pyramid_attention(in[0], c.H, given, Visibility::pyramid(c.patch_nums), 1);
  };
}
Shape qkv_shape(const Case& c) { return {c.B, Visibility::pyramid(c.patch_nums).ends.back(), 3 * c.H * c.D}; }

TEST(CudaAttention, PyramidsOfAnyWidth) {
  const std::vector<Case> cases = {{1, 1, 1, {1}},           {2, 3, 7, {1, 2, 3}}, {0, 2, 8, {1, 2}},
                                   {1, 2, 33, {1, 2, 5, 8}}, {1, 1, 130, {1, 6}},  {1, 1, 300, {2, 3}}};
  for (const Case& c : cases) {
    SCOPED_TRACE(cat("B ", c.B, " H ", c.H, " D ", c.D));
    expect_parity(pyramid(c, 0.7 / std::sqrt(static_cast<double>(c.D))), {qkv_shape(c)});
  }
}

TEST(CudaAttention, NormalizedHeads) {
  const std::vector<Case> cases = {{2, 3, 7, {1, 2, 3}}, {1, 1, 33, {1, 2, 5, 8}}, {1, 1, 300, {2, 3}}};
  for (const Case& c : cases) {
    SCOPED_TRACE(cat("B ", c.B, " H ", c.H, " D ", c.D));
    expect_parity(normalized_pyramid(c, random_tensor({1, c.H, 1, 1}, 2, 0.5, 2)), {qkv_shape(c)});
  }
}

TEST(CudaAttention, DoublePrecisionAndTheGradientOfMultipliers) {
  for (const Case& c : {Case{2, 2, 5, {1, 2, 3}}, Case{1, 1, 140, {1, 2, 5, 3}}}) {
    // The multipliers' gradient is a sum of terms that nearly cancel, so that in f32 it consists of their rounding
    // errors.
    for (const auto& [dtype, tolerance] : {std::pair<DType, double>{DType::kF64, 1e-12}, {DType::kF32, 1e-4}}) {
      const std::vector<Tensor> inputs = {random_tensor(qkv_shape(c), 1, -2, 2, dtype),
                                          random_tensor({1, c.H, 1, 1}, 2, 0.5, 2, dtype)};
      const Function f = normalized_pyramid(c, {});
      const Results expected = results_on(kCpu, f, inputs), actual = results_on(executor_device(), f, inputs);
      EXPECT_CLOSE(actual.value, expected.value, tolerance);
      for (size_t i = 0; i < inputs.size(); ++i) {
        EXPECT_CLOSE(actual.gradients[i], expected.gradients[i], tolerance);
      }
    }
  }
}

TEST(CudaAttention, NewQueriesAgainstACache) {
  for (const auto& [Lq, Lk] : {std::pair<int64_t, int64_t>{1, 1}, {1, 70}, {25, 155}, {64, 33}, {65, 129}}) {
    SCOPED_TRACE(cat(Lq, " queries, ", Lk, " keys"));
    // Keys and values side by side, in a cache with more room than is filled.
    expect_parity(
        [Lk = Lk](const std::vector<Variable>& in) {
          const Variable filled = slice(in[1], 1, 0, Lk);
          return attention(in[0], select(filled, 3, 0), select(filled, 3, 1), Visibility::full(), 0.3);
        },
        {{1, Lq, 2, 9}, {1, Lk + 3, 2, 2, 9}});
  }
  expect_parity([](const std::vector<Variable>& in) { return attention(in[0], in[1], in[2], Visibility::full(), 1); },
                {{2, 0, 1, 4}, {2, 7, 1, 4}, {2, 7, 1, 4}});
}

TEST(CudaAttention, HiddenKeysAreNeverRead) {
  const Case c{1, 2, 9, {1, 3, 9}};  // ends 1, 10, 91: the last scale has two tiles, into which its first queries see
  const Visibility visibility = Visibility::pyramid(c.patch_nums);
  const Tensor clean = random_tensor(qkv_shape(c), 1);
  Tensor dirty = clean.clone();
  dirty.slice(1, 10, 91).fill_(std::numeric_limits<double>::quiet_NaN());
  const auto first_scales = [&](const Tensor& qkv) {
    const Variable x(qkv.to(executor_device()), Requires::kGrad);
    const Variable y = slice(pyramid_attention(x, c.H, {}, visibility, 0.5), 1, 0, 10);
    return y.value().to(kCpu).contiguous();
  };
  EXPECT_SAME(first_scales(dirty), first_scales(clean));
}

TEST(CudaAttention, MoreScalesThanParametersHoldAreRefused) {
  const Tensor qkv = Tensor::zeros({1, 129, 3}, DType::kF32, executor_device());
  Visibility causal;
  for (int64_t end = 1; end <= 129; ++end) { causal.ends.push_back(end); }
  expect_error<ConfigError>([&] { pyramid_attention(Variable(qkv), 1, {}, causal, 1); },
                            "attention: CUDA's kernels take up to 128 scales, got 129");
}

TEST(CudaAttention, L2Normalize) {
  for (const int64_t cols : {1, 33, 64, 300}) {
    expect_parity([](const std::vector<Variable>& in) { return l2_normalize(in[0]); }, {{3, 11, cols}}, 0.1, 2);
  }
  const Tensor zeros = Tensor::zeros({2, 5}, DType::kF32, executor_device());
  EXPECT_SAME(l2_normalize(Variable(zeros)).value().to(kCpu), Tensor::zeros({2, 5}));
}

}  // namespace
}  // namespace terrace
