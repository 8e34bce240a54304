// How close the ops that do little arithmetic come to the machine's memory bandwidth, on arrays beyond every cache.
//
//   build/bin/bench_bandwidth [MEGABYTES]     size of one array, 256 by default
//
// The measure is a plain OpenMP loop that copies one array to another, timed in turn with every op. Bytes are what an
// op must move: each operand once, each result once. A plain store also reads the line that it replaces, which no count
// here includes; the ops write large results past the cache and can therefore be faster than the plain copy.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "autograd/functions.h"
#include "experiments/cli/timing.h"
#include "tensor/random.h"

namespace terrace {
namespace {

constexpr int kRepetitions = 7;
constexpr double kRequiredShare = 0.70;
constexpr double kEps = 1e-6;

void copy(const float* from, float* to, int64_t count) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; ++i) { to[i] = from[i]; }
}

/// What a case's result must be: `expected(row of x, row of w, cols, row of the result)` in f64.
using RowOracle = std::function<void(const float* x, const float* w, int64_t cols, double* y)>;

struct Case {
  std::string name;
  int64_t cols;
  double arrays;  // moved, in units of one array
  std::function<Variable(const Variable& x, const Variable& w)> run;
  RowOracle expected;
};

double normal_cdf(double x) { return 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

void softmax_row(const float* x, const float*, int64_t cols, double* y) {
  const double largest = *std::max_element(x, x + cols);
  double total = 0;
  for (int64_t i = 0; i < cols; ++i) { total += y[i] = std::exp(x[i] - largest); }
  for (int64_t i = 0; i < cols; ++i) { y[i] /= total; }
}

void layer_norm_row(const float* x, const float*, int64_t cols, double* y) {
  double mean = 0, squares = 0;
  for (int64_t i = 0; i < cols; ++i) { mean += x[i] / static_cast<double>(cols); }
  for (int64_t i = 0; i < cols; ++i) { squares += (x[i] - mean) * (x[i] - mean) / static_cast<double>(cols); }
  for (int64_t i = 0; i < cols; ++i) { y[i] = (x[i] - mean) / std::sqrt(squares + kEps); }
}

RowOracle pointwise(double (*f)(double x, double w)) {
  return [f](const float* x, const float* w, int64_t cols, double* y) {
    for (int64_t i = 0; i < cols; ++i) { y[i] = f(x[i], w[i]); }
  };
}

/// The largest error over some rows from all parts of the array, relative to the row's largest value.
double error_of(const Case& c, const Tensor& x, const Tensor& w, const Tensor& y) {
  const int64_t rows = x.numel() / c.cols;
  std::vector<double> expected(static_cast<size_t>(c.cols));
  double worst = 0;
  for (int64_t r = 0; r < rows; r += std::max<int64_t>(1, rows / 97)) {
    const int64_t at = r * c.cols;
    c.expected(x.data<float>() + at, w.data<float>() + at, c.cols, expected.data());
    double largest = 1e-30, difference = 0;
    for (int64_t i = 0; i < c.cols; ++i) {
      const double value = expected[static_cast<size_t>(i)];
      largest = std::max(largest, std::fabs(value));
      difference = std::max(difference, std::fabs(y.data<float>()[at + i] - value));
      if (std::isnan(y.data<float>()[at + i])) { return INFINITY; }
    }
    worst = std::max(worst, difference / largest);
  }
  return worst;
}

/// Validates a case, then prints its line. False where it is wrong.
bool run_case(const Case& c, const Tensor& x, const Tensor& w, Tensor& target) {
  const int64_t count = x.numel();
  const Shape shape{count / c.cols, c.cols};
  const Variable xs(x.view(shape)), ws(w.view(shape));
  const NoGrad no_grad;
  const double error = error_of(c, x, w, c.run(xs, ws).value());
  if (!(error < 1e-5)) {
    std::printf("%-28s WRONG: relative error %.3g\n", c.name.c_str(), error);
    return false;
  }
  std::vector<double> copies, runs;
  for (int i = 0; i < kRepetitions; ++i) {
    copies.push_back(seconds_of([&] { copy(x.data<float>(), target.data<float>(), count); }));
    runs.push_back(seconds_of([&] { c.run(xs, ws); }));
  }
  const double array_bytes = static_cast<double>(count) * sizeof(float);
  const double copy_rate = 2 * array_bytes / median(copies) / 1e9;
  const double rate = c.arrays * array_bytes / median(runs) / 1e9;
  const double share = rate / copy_rate;
  std::printf("%-28s %9.2f GB/s %9.2f GB/s %7.0f %%   %s\n", c.name.c_str(), rate, copy_rate, 100 * share,
              share >= kRequiredShare ? "" : "below 70 %");
  std::fflush(stdout);
  return true;
}

std::vector<Case> cases() {
  std::vector<Case> list;
  for (const int64_t cols : {256, 4096}) {
    list.push_back({cat("softmax (rows of ", cols, ")"), cols, 2,
                    [](const Variable& x, const Variable&) { return softmax(x); }, softmax_row});
  }
  for (const int64_t cols : {256, 1024}) {
    list.push_back({cat("layer_norm (rows of ", cols, ")"), cols, 2,
                    [](const Variable& x, const Variable&) { return layer_norm(x, kEps); }, layer_norm_row});
  }
  list.push_back({"add", 1024, 3, [](const Variable& x, const Variable& w) { return add(x, w); },
                  pointwise([](double x, double w) { return x + w; })});
  list.push_back({"exp", 1024, 2, [](const Variable& x, const Variable&) { return exp(x); },
                  pointwise([](double x, double) { return std::exp(x); })});
  list.push_back({"gelu_tanh", 1024, 2, [](const Variable& x, const Variable&) { return gelu_tanh(x); },
                  pointwise([](double x, double) { return x * normal_cdf(x); })});
  return list;
}

int run(int64_t megabytes) {
  const int64_t count = megabytes * (int64_t{1} << 20) / static_cast<int64_t>(sizeof(float)) / 4096 * 4096;
  Generator generator(1);
  const Tensor x = randn({count}, generator), w = randn({count}, generator);
  Tensor target = Tensor::zeros({count});
  std::printf("%s, %s kernels, %d threads; arrays of %lld MB, f32\n", cpu_model().c_str(), name_of(cpu_backend()),
              threads(), static_cast<long long>(megabytes));
  std::printf("%-28s %14s %14s %9s\n", "op", "op", "copy loop", "share");
  bool right = true;
  for (const Case& c : cases()) { right = run_case(c, x, w, target) && right; }
  return right ? 0 : 1;
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) {
  const long long megabytes = argc > 1 ? std::atoll(argv[1]) : 256;
  if (argc > 2 || megabytes < 1) {
    std::fprintf(stderr, "usage: %s [MEGABYTES]\n", argv[0]);
    return 2;
  }
  return terrace::run(megabytes);
}
