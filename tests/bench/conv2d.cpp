// Convolutions of the tokenizer's shapes, beside bare oneDNN in layouts of its own choice: what is lost between the two
// is the conversion from and to NCHW, allocation and the graph.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <dnnl.hpp>
#include <functional>
#include <unordered_map>

#include "autograd/ops/conv2d.h"
#include "experiments/cli/options.h"
#include "experiments/cli/program.h"
#include "experiments/cli/timing.h"
#include "tensor/random.h"

namespace terrace {
namespace {

struct Layer {
  int64_t batch, in_channels, out_channels, size, kernel, stride;
  int64_t pad() const { return stride == 1 ? kernel / 2 : 0; }
  int64_t out_size() const { return (size + 2 * pad() - kernel) / stride + 1; }
  double gflop() const {
    return 2e-9 * static_cast<double>(batch * out_channels * out_size() * out_size() * in_channels * kernel * kernel);
  }
};

constexpr Layer kSmall[] = {{32, 3, 32, 32, 3, 1},  {32, 32, 32, 32, 3, 1},  {32, 32, 64, 32, 3, 1},
                            {32, 32, 32, 33, 3, 2}, {32, 64, 64, 16, 3, 1},  {32, 64, 64, 16, 1, 1},
                            {32, 64, 64, 17, 3, 2}, {32, 128, 128, 8, 3, 1}, {32, 128, 32, 8, 1, 1},
                            {64, 32, 32, 8, 3, 1},  {32, 32, 3, 32, 3, 1}};
constexpr Layer kLarge[] = {{1, 160, 160, 256, 3, 1}, {1, 160, 3, 256, 3, 1},  {1, 320, 320, 64, 3, 1},
                            {1, 320, 160, 128, 1, 1}, {4, 640, 640, 16, 3, 1}, {1, 3, 160, 256, 3, 1}};

/// Median of the calls that fit into about half a second, after one that is not timed.
double median_ms(const std::function<void()>& f) {
  f();
  std::vector<double> seconds;
  const auto begin = std::chrono::steady_clock::now();
  while (seconds.size() < 3 || (seconds_since(begin) < 0.5 && seconds.size() < 101)) {
    seconds.push_back(seconds_of(f));
  }
  return 1e3 * median(seconds);
}

struct Times {
  double forward = 0, backward = 0;  // ms; backward is all of dx, dweight and dbias
};

/// Throws unless f32 agrees with f64 on the first image.
void validate(const Variable& x, const Variable& weight, const Variable& bias, const Conv2dOptions& options) {
  const auto as = [](const Variable& v, DType dtype) { return Variable(v.value().to(dtype), Requires::kGrad); };
  const Variable first(x.value().slice(0, 0, 1), Requires::kGrad);
  std::array<Variable, 3> f32{as(Variable(first.value().clone()), DType::kF32),
                              as(Variable(weight.value().clone()), DType::kF32),
                              as(Variable(bias.value().clone()), DType::kF32)};
  std::array<Variable, 3> f64{as(first, DType::kF64), as(weight, DType::kF64), as(bias, DType::kF64)};
  const Variable y = conv2d(f32[0], f32[1], f32[2], options), exact = conv2d(f64[0], f64[1], f64[2], options);
  Generator g(9);
  const Tensor dy = randn(y.shape(), g);
  y.backward(dy);
  exact.backward(dy.to(DType::kF64));
  const auto error = [](const Tensor& a, const Tensor& b) {
    const std::vector<double> p = a.to_vector<double>(), q = b.to_vector<double>();
    double worst = 0, largest = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      worst = std::max(worst, std::abs(p[i] - q[i]));
      largest = std::max(largest, std::abs(q[i]));
    }
    return worst / largest;
  };
  double worst = error(y.value(), exact.value());
  for (size_t i = 0; i < 3; ++i) { worst = std::max(worst, error(f32[i].grad(), f64[i].grad())); }
  if (!(worst < 2e-5)) { throw Error(cat("bench_conv2d: f32 differs from f64 by ", worst)); }
}

Times measure(const Layer& layer) {
  Generator g(1);
  Variable x(randn({layer.batch, layer.in_channels, layer.size, layer.size}, g), Requires::kGrad);
  Variable weight(randn({layer.out_channels, layer.in_channels, layer.kernel, layer.kernel}, g), Requires::kGrad);
  Variable bias(randn({layer.out_channels}, g), Requires::kGrad);
  const int64_t p = layer.pad();
  const Conv2dOptions options{layer.stride, {p, p, p, p}};
  validate(x, weight, bias, options);
  Times times;
  times.forward = median_ms([&] {
    const NoGrad no_grad;
    conv2d(x, weight, bias, options);
  });
  const Variable y = conv2d(x, weight, bias, options);
  const Tensor dy = randn(y.shape(), g);
  times.backward = median_ms([&] { grad({y}, {x, weight, bias}, {dy}, RetainGraph::kYes); });
  return times;
}

/// oneDNN alone, on memory that is already in the layouts it asks for.
Times measure_peer(const Layer& layer) {
  using dnnl::memory;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const auto any = [](const memory::dims& dims) {
    return memory::desc(dims, memory::data_type::f32, memory::format_tag::any);
  };
  const memory::desc x = any({layer.batch, layer.in_channels, layer.size, layer.size});
  const memory::desc w = any({layer.out_channels, layer.in_channels, layer.kernel, layer.kernel});
  const memory::desc y = any({layer.batch, layer.out_channels, layer.out_size(), layer.out_size()});
  const memory::desc b({layer.out_channels}, memory::data_type::f32, memory::format_tag::x);
  const memory::dims strides{layer.stride, layer.stride}, pads{layer.pad(), layer.pad()};
  const auto algorithm = dnnl::algorithm::convolution_auto;

  const dnnl::convolution_forward::primitive_desc forward(
      {dnnl::prop_kind::forward_training, algorithm, x, w, b, y, strides, pads, pads}, engine);
  const dnnl::convolution_backward_data::primitive_desc data({algorithm, x, w, y, strides, pads, pads}, engine,
                                                             forward);
  const dnnl::convolution_backward_weights::primitive_desc weights({algorithm, x, w, b, y, strides, pads, pads}, engine,
                                                                   forward);
  const auto filled = [&](const memory::desc& description) {
    memory m(description, engine);
    auto* values = static_cast<float*>(m.get_data_handle());
    std::fill(values, values + description.get_size() / sizeof(float), 0.5F);
    return m;
  };
  using Arguments = std::unordered_map<int, memory>;
  const Arguments forward_arguments{{DNNL_ARG_SRC, filled(forward.src_desc())},
                                    {DNNL_ARG_WEIGHTS, filled(forward.weights_desc())},
                                    {DNNL_ARG_BIAS, filled(b)},
                                    {DNNL_ARG_DST, filled(forward.dst_desc())}};
  const Arguments data_arguments{{DNNL_ARG_DIFF_SRC, filled(data.diff_src_desc())},
                                 {DNNL_ARG_WEIGHTS, filled(data.weights_desc())},
                                 {DNNL_ARG_DIFF_DST, filled(data.diff_dst_desc())}};
  const Arguments weights_arguments{{DNNL_ARG_SRC, filled(weights.src_desc())},
                                    {DNNL_ARG_DIFF_WEIGHTS, filled(weights.diff_weights_desc())},
                                    {DNNL_ARG_DIFF_BIAS, filled(b)},
                                    {DNNL_ARG_DIFF_DST, filled(weights.diff_dst_desc())}};
  const dnnl::convolution_forward run_forward(forward);
  const dnnl::convolution_backward_data run_data(data);
  const dnnl::convolution_backward_weights run_weights(weights);
  return {.forward = median_ms([&] { run_forward.execute(stream, forward_arguments); }),
          .backward = median_ms([&] {
            run_data.execute(stream, data_arguments);
            run_weights.execute(stream, weights_arguments);
          })};
}

void print(const Layer& layer) {
  const Times own = measure(layer), peer = measure_peer(layer);
  const double gflop = layer.gflop();
  std::printf(
      "%3lld x %3lld->%3lld %3lld^2 k%lld s%lld | %8.2f ms %5.0f GF/s  bare %8.2f ms  %.2f | %8.2f ms %5.0f GF/s  bare "
      "%8.2f ms  %.2f\n",
      static_cast<long long>(layer.batch), static_cast<long long>(layer.in_channels),
      static_cast<long long>(layer.out_channels), static_cast<long long>(layer.size),
      static_cast<long long>(layer.kernel), static_cast<long long>(layer.stride), own.forward,
      gflop / own.forward * 1e3, peer.forward, peer.forward / own.forward, own.backward, 2 * gflop / own.backward * 1e3,
      peer.backward, peer.backward / own.backward);
  std::fflush(stdout);
}

void run(int argc, char** argv) {
  bool large = false;
  int count = 0;
  Options options("bench_conv2d", "Times conv2d against bare oneDNN.");
  options.add("large", large, "the shapes of the 256 px tokenizer as well");
  options.add("threads", count, "processor threads").range(0, 4096).default_text("all cores");
  options.parse(argc, argv);
  set_threads(count);
  std::printf(
      "conv2d, f32, %d threads, %s\nbatch x in->out size kernel stride | forward, bare oneDNN, ratio | backward (dx, "
      "dweight, dbias), bare oneDNN, ratio\n",
      threads(), cpu_model().c_str());
  for (const Layer& layer : kSmall) { print(layer); }
  if (large) {
    for (const Layer& layer : kLarge) { print(layer); }
  }
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
