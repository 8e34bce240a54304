// Attention on tensor cores (bf16, 64 channels) in the executor, element by element within bounds that follow from
// where it rounds: beside f64 on the CPU, from the same bf16 inputs.
#include <cmath>
#include <limits>

#include "tests/cuda/parity.h"

namespace terrace {
namespace {

constexpr int64_t kD = 64;

struct Problem {
  Visibility visibility;
  double scale;
  Tensor q, k, v, dy;  // (B, L, H, D) bf16
  Tensor multipliers;  // (1, H, 1, 1) f32; undefined for plain heads
};

Problem make_problem(int64_t B, int64_t H, int64_t Lq, int64_t Lk, const Visibility& visibility, bool normalized) {
  const auto random = [&](int64_t L, uint64_t seed) { return random_tensor({B, L, H, kD}, seed, -2, 2, DType::kBF16); };
  return {visibility,
          normalized ? 1 : 0.25 / 8,
          random(Lq, 1),
          random(Lk, 2),
          random(Lk, 3),
          random(Lq, 4),
          normalized ? random_tensor({1, H, 1, 1}, 5, 0.5, 2.5) : Tensor()};
}
Problem make_pyramid(int64_t B, int64_t H, const std::vector<int64_t>& patch_nums, bool normalized) {
  const Visibility visibility = Visibility::pyramid(patch_nums);
  return make_problem(B, H, visibility.ends.back(), visibility.ends.back(), visibility, normalized);
}

/// Of y (B, L, H, D) and of the gradients.
struct Outcome {
  Tensor y, dq, dk, dv, dmultipliers;
};

Outcome run(const Problem& p, Device device, DType dtype) {
  const int64_t B = p.q.dim(0), L = p.q.dim(1), H = p.q.dim(2);
  const auto leaf = [&](const Tensor& t) { return Variable(t.to(dtype).to(device), Requires::kGrad); };
  const Variable q = leaf(p.q), k = leaf(p.k), v = leaf(p.v);
  std::vector<Variable> leaves = {q, k, v};
  Variable y;
  if (p.multipliers.defined()) {
    const DType sums = dtype == DType::kF64 ? DType::kF64 : DType::kF32;
    leaves.emplace_back(p.multipliers.to(sums).to(device), Requires::kGrad);
    const auto flat = [&](const Variable& x) { return reshape(x, {B, L, H * kD}); };
    y = pyramid_attention(concat({flat(q), flat(k), flat(v)}, 2), H, leaves[3], p.visibility, p.scale);
  } else {
    y = attention(q, k, v, p.visibility, p.scale);
  }
  const std::vector<Tensor> gradients = grad({y}, leaves, {p.dy.view({B, L, H * kD}).to(dtype).to(device)});
  const auto back = [](const Tensor& t) { return t.to(kCpu); };
  return {back(y.value()).view({B, L, H, kD}), back(gradients[0]), back(gradients[1]), back(gradients[2]),
          p.multipliers.defined() ? back(gradients[3]) : Tensor()};
}

/// (B, L, H, D) as f64 (B, H, L, D), and back.
Variable heads_first(const Tensor& t) { return Variable(t.to(DType::kF64).permute({0, 2, 1, 3}).contiguous()); }
Tensor tokens_first(const Variable& x) { return x.value().permute({0, 2, 1, 3}).contiguous(); }

Variable hidden_as_minus_infinity(const Visibility& visibility, int64_t Lq, int64_t Lk) {
  std::vector<double> mask(static_cast<size_t>(Lq * Lk), 0);
  int64_t begin = 0;
  for (const int64_t end : visibility.ends) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = end; j < Lk; ++j) {
        mask[static_cast<size_t>(i * Lk + j)] = -std::numeric_limits<double>::infinity();
      }
    }
    begin = end;
  }
  return Variable(Tensor::from(mask, {Lq, Lk}));
}

/// How far each element may be from `exact`, to first order in the rounding u = 2^-8 of bf16 and with a tenth for what
/// is kept in f32. Rounded are: P before P v and P^T dy; y, from which rowsum(P dP) is taken; dS before dS k and dS^T
/// q; and every result.
Outcome bounds(const Problem& p, const Outcome& exact) {
  const double u = 1.1 / 256;
  const int64_t H = p.q.dim(2);
  const auto transposed = [](const Variable& x) { return transpose(x, 2, 3); };
  Variable q = heads_first(p.q), k = heads_first(p.k), q_norm, k_norm;
  Variable factor(Tensor::full({1, H, 1, 1}, p.scale, DType::kF64));
  if (p.multipliers.defined()) {
    const auto norm = [](const Variable& x) { return sqrt(sum(square(x), {3}, KeepDim::kYes)); };
    q_norm = norm(q);
    k_norm = norm(k);
    q = q / q_norm;
    k = k / k_norm;
    factor = factor * exp(Variable(p.multipliers.to(DType::kF64)));
  }
  const Variable v = abs(heads_first(p.v)), dy = heads_first(p.dy), size = abs(dy);
  const Variable scores = matmul(q, transposed(k)) * factor;
  const Variable P = softmax(scores + hidden_as_minus_infinity(p.visibility, p.q.dim(1), p.k.dim(1)));
  const Variable y = heads_first(exact.y), dP = matmul(dy, transposed(heads_first(p.v)));
  const Variable dS = P * (dP - sum(dy * y, {3}, KeepDim::kYes));

  const Variable y_bound = u * (matmul(P, v) + abs(y));
  const Variable dS_bound = u * abs(dS) + P * sum(size * y_bound, {3}, KeepDim::kYes);
  const Variable dv_bound = u * (matmul(transposed(P), size) + abs(heads_first(exact.dv)));
  Variable dq_bound = matmul(dS_bound, abs(k)) * factor, dk_bound = matmul(transposed(dS_bound), abs(q)) * factor;
  Tensor multipliers;
  if (p.multipliers.defined()) {
    multipliers = sum(abs(q) * dq_bound, {0, 2, 3}).value().view({1, H, 1, 1});
    const auto through_norm = [](const Variable& bound, const Variable& unit, const Variable& norm) {
      return (bound + abs(unit) * sum(abs(unit) * bound, {3}, KeepDim::kYes)) / norm;
    };
    dq_bound = through_norm(dq_bound, q, q_norm);
    dk_bound = through_norm(dk_bound, k, k_norm);
  }
  dq_bound = dq_bound + u * abs(heads_first(exact.dq));
  dk_bound = dk_bound + u * abs(heads_first(exact.dk));
  return {tokens_first(y_bound), tokens_first(dq_bound), tokens_first(dk_bound), tokens_first(dv_bound), multipliers};
}

void expect_within(const char* what, const Tensor& actual, const Tensor& expected, const Tensor& bound) {
  const std::vector<double> a = actual.to_vector<double>(), e = expected.to_vector<double>(),
                            limit = bound.to_vector<double>();
  double worst = 0;
  for (size_t i = 0; i < e.size(); ++i) {
    const double share = std::fabs(a[i] - e[i]) / (limit[i] + 1e-6);
    worst = share <= worst ? worst : share;  // a NaN stays
  }
  EXPECT_LE(worst, 1) << what << ": the largest error as a share of its bound";
}

void expect_within_bounds(const Problem& p) {
  const Outcome exact = run(p, kCpu, DType::kF64), bound = bounds(p, exact);
  const Outcome actual = run(p, executor_device(), DType::kBF16);
  expect_within("y", actual.y, exact.y, bound.y);
  expect_within("dq", actual.dq, exact.dq, bound.dq);
  expect_within("dk", actual.dk, exact.dk, bound.dk);
  expect_within("dv", actual.dv, exact.dv, bound.dv);
  if (p.multipliers.defined()) {
    expect_within("multipliers", actual.dmultipliers, exact.dmultipliers, bound.dmultipliers);
  }
}

TEST(CudaAttentionMma, PyramidsWithinTheirBounds) {
  const std::vector<std::vector<int64_t>> pyramids = {{1}, {1, 2, 3}, {3, 8}, {12}, {1, 2, 3, 4, 5, 6, 8}};
  for (const auto& patch_nums : pyramids) {
    for (const bool normalized : {false, true}) {
      SCOPED_TRACE(cat(patch_nums.size(), " scales, ", patch_nums.back(), normalized ? " normalized" : ""));
      const bool small = patch_nums.back() < 5;
      expect_within_bounds(make_pyramid(small ? 2 : 1, small ? 2 : 1, patch_nums, normalized));
    }
  }
}

TEST(CudaAttentionMma, NewQueriesAgainstACache) {
  for (const auto& [Lq, Lk] : {std::pair<int64_t, int64_t>{1, 1}, {1, 70}, {36, 91}, {130, 64}, {64, 33}}) {
    SCOPED_TRACE(cat(Lq, " queries, ", Lk, " keys"));
    expect_within_bounds(make_problem(1, 2, Lq, Lk, Visibility::full(), false));
  }
}

void expect_same(const Outcome& a, const Outcome& b) {
  EXPECT_SAME(a.y, b.y);
  EXPECT_SAME(a.dq, b.dq);
  EXPECT_SAME(a.dk, b.dk);
  EXPECT_SAME(a.dv, b.dv);
  if (a.dmultipliers.defined()) { EXPECT_SAME(a.dmultipliers, b.dmultipliers); }
}

TEST(CudaAttentionMma, TheSameBitsUnderEverySchedule) {
  for (const bool normalized : {false, true}) {
    const Problem p =
        make_pyramid(1, 1, {1, 2, 3, 5, 11}, normalized);  // three tiles of keys: one of the two stages is used twice
    const Outcome first = run(p, executor_device(), DType::kBF16);
    for (const uint64_t seed : {0, 1, 2}) {
      const executor::Schedule schedule(seed);
      expect_same(run(p, executor_device(), DType::kBF16), first);
    }
  }
}

TEST(CudaAttentionMma, AllTenScalesOfVar) {
  const executor::Schedule schedule(3);
  expect_within_bounds(make_pyramid(1, 1, {1, 2, 3, 4, 5, 6, 8, 10, 13, 16}, true));
}

TEST(CudaAttentionMma, UnalignedRowsTakeTheGeneralKernels) {
  const Tensor wide = random_tensor({1, 7, 2, kD + 1}, 1, -2, 2, DType::kBF16).to(executor_device());
  const Variable x(wide.slice(3, 1, kD + 1));  // begins 2 bytes after a multiple of 16
  const Variable y = attention(x, x, x, Visibility::full(), 0.1);
  const Variable same(wide.slice(3, 1, kD + 1).contiguous().to(kCpu));
  EXPECT_CLOSE(y.value().to(kCpu), attention(same, same, same, Visibility::full(), 0.1), 8e-3);
}

TEST(CudaAttentionMma, KeysThatATileOfQueriesDoesNotSeeAreNeverRead) {
  // Scales of 1, 4, 9 and 16 tokens share the first tile; the next one's 100 are hidden from it.
  const Problem p = make_pyramid(1, 2, {1, 2, 3, 4, 10}, true);
  Problem dirty = p;
  for (Tensor* t : {&dirty.q, &dirty.k, &dirty.v, &dirty.dy}) {
    *t = t->clone();
    t->slice(1, 30, 130).fill_(std::numeric_limits<double>::quiet_NaN());
  }
  const Outcome clean = run(p, executor_device(), DType::kBF16), marked = run(dirty, executor_device(), DType::kBF16);
  EXPECT_SAME(marked.y.slice(1, 0, 30).contiguous(), clean.y.slice(1, 0, 30).contiguous());
  EXPECT_SAME(marked.dq.slice(1, 0, 30).contiguous(), clean.dq.slice(1, 0, 30).contiguous());
  for (const double value : marked.y.slice(1, 30, 130).to_vector<double>()) { ASSERT_TRUE(std::isnan(value)); }
}

TEST(CudaAttentionMma, ZeroVectorsNormaliseToZero) {
  Problem p = make_pyramid(1, 1, {1, 2}, true);
  p.q.fill_(0);
  p.k.fill_(0);
  const Outcome exact = run(p, kCpu, DType::kF64), actual = run(p, executor_device(), DType::kBF16);
  EXPECT_CLOSE(actual.y.to(DType::kF64), exact.y, 8e-3);
  EXPECT_CLOSE(actual.dv.to(DType::kF64), exact.dv, 8e-3);
  for (const Tensor& t : {actual.dq, actual.dk}) { EXPECT_SAME(t, Tensor::zeros(t.shape(), DType::kBF16)); }
}

TEST(CudaAttentionMma, NoQueriesAndNoSamples) {
  const Problem no_queries = make_problem(1, 2, 0, 9, Visibility::full(), false);
  const Outcome outcome = run(no_queries, executor_device(), DType::kBF16);
  EXPECT_SAME(outcome.dk, Tensor::zeros({1, 9, 2, kD}, DType::kBF16));
  EXPECT_EQ(run(make_pyramid(0, 2, {1, 2}, true), executor_device(), DType::kBF16).y.numel(), 0);
}

}  // namespace
}  // namespace terrace
