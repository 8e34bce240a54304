// Attention by visibility, forward and backward, beside the same thing spelled with matmul, a dense mask and softmax.
//
// FLOPs are those of the visible pairs: two products forward, four backward (the fused backward makes a fifth, because
// it recomputes the probabilities that the composite keeps). The peak is a large matmul in the same run.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <vector>

#include "autograd/functions.h"
#include "experiments/support/timing.h"
#include "tensor/matmul.h"
#include "tensor/random.h"

namespace terrace {
namespace {

constexpr int kRepetitions = 15;

struct Setting {
  const char* name;
  int64_t B, H, D;
  std::vector<int64_t> patch_nums;
};

struct Seconds {
  double forward = 0, backward = 0;
};

using Attend = std::function<Variable(const Variable& qkv)>;

Seconds time(const Attend& attend, const Tensor& qkv, const Tensor& dy) {
  std::vector<double> forward, backward;
  for (int i = 0; i <= kRepetitions; ++i) {
    const Variable x(qkv, Requires::kGrad);
    Variable y;
    const double ahead = seconds_of([&] { y = attend(x); });
    const double back = seconds_of([&] { y.backward(dy); });
    if (i == 0) continue;  // warms the allocator
    forward.push_back(ahead);
    backward.push_back(back);
  }
  return {median(forward), median(backward)};
}

Tensor dense_mask(const Visibility& visibility) {
  const int64_t L = visibility.ends.back();
  Tensor mask = Tensor::zeros({L, L});
  int64_t begin = 0;
  for (const int64_t end : visibility.ends) {
    mask.slice(0, begin, end).slice(1, end, L).fill_(-std::numeric_limits<double>::infinity());
    begin = end;
  }
  return mask;
}

Variable composite(const Variable& qkv, int64_t H, const Variable& multiplier, const Variable& mask) {
  const int64_t B = qkv.dim(0), L = qkv.dim(1), C = qkv.dim(2) / 3;
  const auto head = [&](int64_t i) { return reshape(slice(qkv, 2, i * C, (i + 1) * C), {B, L, H, C / H}); };
  const Variable q = permute(l2_normalize(head(0)), {0, 2, 1, 3}) * multiplier;
  const Variable scores = matmul(q, permute(l2_normalize(head(1)), {0, 2, 3, 1})) + mask;
  const Variable y = matmul(softmax(scores), permute(head(2), {0, 2, 1, 3}));
  return reshape(permute(y, {0, 2, 1, 3}), {B, L, C});
}

double largest_difference(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = a.to_vector<double>(), y = b.to_vector<double>();
  double difference = 0, top = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    difference = std::max(difference, std::fabs(x[i] - y[i]));
    top = std::max(top, std::fabs(y[i]));
  }
  return difference / top;
}

void validate(const Attend& fused, const Attend& plain, const Tensor& qkv, const Tensor& dy) {
  const Variable a(qkv, Requires::kGrad), b(qkv, Requires::kGrad);
  const Variable y = fused(a), expected = plain(b);
  y.backward(dy);
  expected.backward(dy);
  const double forward = largest_difference(y.value(), expected.value()),
               backward = largest_difference(a.grad(), b.grad());
  if (!(forward < 5e-6 && backward < 2e-5)) {
    throw Error(cat("attention: differs from the composite by ", forward, " and ", backward));
  }
}

double matmul_peak() {  // FLOP/s
  Generator g(1);
  const Tensor a = randn({1024, 1024}, g), b = randn({1024, 1024}, g);
  std::vector<double> seconds;
  for (int i = 0; i < kRepetitions; ++i) seconds.push_back(seconds_of([&] { matmul(a, b); }));
  return 2 * std::pow(1024.0, 3) / median(seconds);
}

void run(const Setting& s, double peak) {
  const Visibility visibility = Visibility::pyramid(s.patch_nums);
  const int64_t L = visibility.ends.back(), C = s.H * s.D;
  Generator g(2);
  const Tensor qkv = randn({s.B, L, 3 * C}, g), dy = randn({s.B, L, C}, g);
  const Variable scale_mul(Tensor::full({1, s.H, 1, 1}, std::log(4.0))), mask(dense_mask(visibility));
  const Variable multiplier = exp(scale_mul);
  const Attend fused = [&](const Variable& x) { return pyramid_attention(x, s.H, scale_mul, visibility, 1); };
  const Attend plain = [&](const Variable& x) { return composite(x, s.H, multiplier, mask); };
  validate(fused, plain, qkv, dy);
  const Seconds a = time(fused, qkv, dy), b = time(plain, qkv, dy);
  double pairs = 0;
  int64_t begin = 0;
  for (const int64_t end : visibility.ends) {
    pairs += static_cast<double>((end - begin) * end);
    begin = end;
  }
  const double forward = 4 * pairs * static_cast<double>(C * s.B), backward = 2 * forward;
  std::printf(
      "%-28s forward %7.2f ms %6.1f GF/s (%2.0f %% of matmul)   backward %7.2f ms %6.1f GF/s (%2.0f %%)   "
      "composite %7.2f + %7.2f ms: %.1fx\n",
      s.name, 1e3 * a.forward, forward / a.forward / 1e9, 100 * forward / a.forward / peak, 1e3 * a.backward,
      backward / a.backward / 1e9, 100 * backward / a.backward / peak, 1e3 * b.forward, 1e3 * b.backward,
      (b.forward + b.backward) / (a.forward + a.backward));
}

void run_all() {
  const double peak = matmul_peak();
  std::printf("attention, f32, L2-normalised queries and keys, %d threads, matmul %.1f GF/s; every setting validated\n",
              threads(), peak / 1e9);
  const std::vector<int64_t> small = {1, 2, 3, 4, 5, 6, 8}, official = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16};
  run({"B 4, H 8, D 64, L 155", 4, 8, 64, small}, peak);
  run({"B 32, H 4, D 32, L 155", 32, 4, 32, small}, peak);
  run({"B 32, H 4, D 16, L 155", 32, 4, 16, small}, peak);
  run({"B 1, H 16, D 64, L 680", 1, 16, 64, official}, peak);
}

}  // namespace
}  // namespace terrace

int main() {
  try {
    terrace::run_all();
  } catch (const terrace::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
  return 0;
}
