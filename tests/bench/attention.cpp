// Attention by visibility, forward and backward, beside the same thing spelled with matmul, a dense mask and softmax.
//
// FLOPs are those of the visible pairs: two products forward, four backward (the fused backward makes a fifth, because
// it recomputes the probabilities that the composite keeps). The peak is a large matmul in the same run.
//
// With --batch one setting is measured alone, of the released pyramid, as torch_var.py attention does: on a GPU, whose
// memory holds the composite's probabilities for a few images only, it is validated by two.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <vector>

#include "autograd/functions.h"
#include "experiments/cli/options.h"
#include "experiments/cli/program.h"
#include "tensor/matmul.h"
#include "tensor/random.h"
#include "tests/bench/device.h"

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
    const double ahead = seconds_on(qkv.device(), [&] { y = attend(x); });
    const double back = seconds_on(qkv.device(), [&] { y.backward(dy); });
    if (i == 0) {
      continue;  // warms the allocator
    }
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
  const bool wide = qkv.dtype() == DType::kF32;
  if (!(forward < (wide ? 5e-6 : 3e-2) && backward < (wide ? 2e-5 : 3e-2))) {
    throw Error(cat("attention: differs from the composite by ", forward, " and ", backward));
  }
}

double matmul_peak(Device device, DType dtype) {  // FLOP/s
  Generator g(1);
  const auto square = [&] { return randn({1024, 1024}, g).to(dtype).to(device); };
  const Tensor a = square(), b = square();
  std::vector<double> seconds;
  for (int i = 0; i < kRepetitions; ++i) {
    seconds.push_back(seconds_on(device, [&] { matmul(a, b); }));
  }
  return 2 * std::pow(1024.0, 3) / median(seconds);
}

/// Pairs of a query and a key that it sees, in one head of one image.
double visible_pairs(const Visibility& visibility) {
  double pairs = 0;
  int64_t begin = 0;
  for (const int64_t end : visibility.ends) {
    pairs += static_cast<double>((end - begin) * end);
    begin = end;
  }
  return pairs;
}

struct Measured {
  Seconds seconds;
  double forward_flop = 0;
};

/// Our attention alone where `plain_seconds` is null, else beside the composite.
Measured measure(const Setting& s, Device device, DType dtype, Seconds* plain_seconds) {
  const Visibility visibility = Visibility::pyramid(s.patch_nums);
  const int64_t L = visibility.ends.back(), C = s.H * s.D;
  Generator g(2);
  const auto normal = [&](const Shape& shape) { return randn(shape, g).to(dtype).to(device); };
  const Tensor qkv = normal({s.B, L, 3 * C}), dy = normal({s.B, L, C});
  const Variable scale_mul(Tensor::full({1, s.H, 1, 1}, std::log(4.0), DType::kF32, device));
  const Variable mask(dense_mask(visibility).to(dtype).to(device));
  const Variable multiplier(exp(scale_mul).value().to(dtype));
  const Attend fused = [&](const Variable& x) { return pyramid_attention(x, s.H, scale_mul, visibility, 1); };
  const Attend plain = [&](const Variable& x) { return composite(x, s.H, multiplier, mask); };
  const int64_t checked = plain_seconds != nullptr ? s.B : std::min<int64_t>(s.B, 2);
  validate(fused, plain, qkv.slice(0, 0, checked), dy.slice(0, 0, checked));
  if (plain_seconds != nullptr) { *plain_seconds = time(plain, qkv, dy); }
  return {time(fused, qkv, dy), 4 * visible_pairs(visibility) * static_cast<double>(C * s.B)};
}

void run_beside_composite(const Setting& s, double peak) {
  Seconds b;
  const Measured m = measure(s, kCpu, DType::kF32, &b);
  const Seconds a = m.seconds;
  const double forward = m.forward_flop, backward = 2 * forward;
  std::printf(
      "%-28s forward %7.2f ms %6.1f GF/s (%2.0f %% of matmul)   backward %7.2f ms %6.1f GF/s (%2.0f %%)   "
      "composite %7.2f + %7.2f ms: %.1fx\n",
      s.name, 1e3 * a.forward, forward / a.forward / 1e9, 100 * forward / a.forward / peak, 1e3 * a.backward,
      backward / a.backward / 1e9, 100 * backward / a.backward / peak, 1e3 * b.forward, 1e3 * b.backward,
      (b.forward + b.backward) / (a.forward + a.backward));
}

void run_alone(const Setting& s, Device device, DType dtype, double peak, const std::string& json) {
  const Measured m = measure(s, device, dtype, nullptr);
  const double ms = 1e3 * (m.seconds.forward + m.seconds.backward);
  const double flops = 3.5 * m.forward_flop / ms * 1e3;  // as torch_var.py counts: five products backward
  std::printf("forward %.3f ms, backward %.3f ms: %.1f GF/s (%.0f %% of matmul)\n", 1e3 * m.seconds.forward,
              1e3 * m.seconds.backward, flops / 1e9, 100 * flops / peak);
  write_results(json, {{"ms", ms},
                       {"forward_ms", 1e3 * m.seconds.forward},
                       {"backward_ms", 1e3 * m.seconds.backward},
                       {"tflops", flops / 1e12},
                       {"peak_bytes", peak_bytes(device)}});
}

void run(int argc, char** argv) {
  int64_t batch = 0, depth = 16;
  int count = 0;
  std::string device_name = "cpu", dtype_name = "f32", json;
  std::vector<int64_t> pyramid = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16};
  Options options("bench_attention", "Times attention by visibility, forward and backward.");
  options.add("batch", batch, "images of one setting; 0: four settings beside the composite, on the CPU").at_least(0);
  options.add("depth", depth, "heads of that setting, of 64 channels").positive();
  options.add("patch-nums", pyramid, "its pyramid").positive();
  options.add("device", device_name, "where to compute it: cpu, cuda, cuda-host");
  options.add("dtype", dtype_name, "its type").choices({"f32", "bf16"});
  options.add("json", json, "file for its results");
  options.add("threads", count, "processor threads").range(0, 4096).default_text("all cores");
  options.parse(argc, argv);
  set_threads(count);
  const Device device = device_from_name(device_name);
  if (batch == 0 && !(device.is_cpu() && dtype_name == "f32" && json.empty())) {
    throw ConfigError("--device, --dtype and --json are for one setting: --batch");
  }
  const DType dtype = dtype_from_name(dtype_name);
  const double peak = matmul_peak(device, dtype);
  std::printf("attention, %s on %s, L2-normalised queries and keys, %d threads, matmul %.1f GF/s; validated\n",
              dtype_name.c_str(), device_name.c_str(), threads(), peak / 1e9);
  if (batch > 0) { return run_alone({"", batch, depth, 64, pyramid}, device, dtype, peak, json); }
  const std::vector<int64_t> small = {1, 2, 3, 4, 5, 6, 8};
  run_beside_composite({"B 4, H 8, D 64, L 155", 4, 8, 64, small}, peak);
  run_beside_composite({"B 32, H 4, D 32, L 155", 32, 4, 32, small}, peak);
  run_beside_composite({"B 32, H 4, D 16, L 155", 32, 4, 16, small}, peak);
  run_beside_composite({"B 1, H 16, D 64, L 680", 1, 16, 64, pyramid}, peak);
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
