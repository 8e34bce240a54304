// Inception-v3 on 32 px images, resize included, beside PyTorch's where TORCH_PYTHON names an interpreter that has it
// and torchvision: the same work as torch_var.py inception, in eager mode and compiled. On a device the images lie
// there beforehand, as PyTorch's do.
#include <cmath>
#include <cstdio>

#include "experiments/cli/options.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "metrics/inception/inception.h"
#include "metrics/inception/plan.h"
#include "metrics/inception/resize.h"
#include "tensor/random.h"
#include "tests/bench/device.h"
#include "tests/bench/golden_check.h"
#include "tests/bench/torch_peer.h"

namespace terrace {
namespace {

/// Random weights that keep activations of the order of 1.
class RandomWeights : public TensorReader {
 public:
  RandomWeights() {
    for (const InceptionStep& step : inception_plan().steps) {
      if (step.name.empty()) { continue; }
      const int64_t o = step.to.channels;
      add(step.name + ".conv.weight", {o, step.from.channels, step.window.height, step.window.width});
      for (const char* part : {"weight", "bias", "running_mean", "running_var"}) {
        add(cat(step.name, ".bn.", part), {o});
      }
    }
  }
  const std::vector<TensorEntry>& entries() const override { return entries_; }
  void read(size_t index, int64_t, int64_t, Tensor& out) const override {
    const Shape& shape = entries_[index].shape;
    if (shape.size() == 1) {
      out.fill_(entries_[index].name.ends_with("running_var") || entries_[index].name.ends_with(".weight") ? 1 : 0);
      return;
    }
    Generator g(index);
    const double deviation = std::sqrt(2.0 * static_cast<double>(shape[0]) / static_cast<double>(shape.numel()));
    out.copy_(randn(shape, g));
    float* w = out.data<float>();
    for (int64_t i = 0; i < out.numel(); ++i) { w[i] *= static_cast<float>(deviation); }
  }
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }

 private:
  void add(const std::string& name, const Shape& shape) { entries_.push_back({name, DType::kF32, shape}); }

  std::vector<TensorEntry> entries_;
  std::map<std::string, std::string> metadata_;
};

double gflop_of_image(int64_t level) {
  double sum = 0;
  for (size_t i = 0; i < inception_level(level).steps; ++i) {
    const InceptionStep& s = inception_plan().steps[i];
    if (s.name.empty()) { continue; }
    sum += 2e-9 * static_cast<double>(s.to.numel() * s.from.channels * s.window.height * s.window.width);
  }
  return sum;
}

struct Run {
  int64_t level = 768, batch = 32, steps = 5;
  InceptionPlacement placement;
};

struct Figures {
  double ms = 0, images_per_second = 0, bytes = 0;
};

/// Relative difference of one image's features from those that the CPU computes in f32.
double difference_from_cpu(const Run& run, const TensorFile& weights, const Inception& network, const Tensor& images) {
  const Tensor input = inception_input(images.slice(0, 0, 1), InceptionResize::kPytorch);
  const Inception exact(weights, InceptionReading::kPytorchFid, {.level = run.level});
  const std::vector<double> a = network(input).features.to(kCpu).to_vector<double>();
  const std::vector<double> b = exact(input).features.to_vector<double>();
  double worst = 0, largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::abs(a[i] - b[i]));
    largest = std::max(largest, std::abs(b[i]));
  }
  return worst / largest;
}

Figures measure(const Run& run) {
  const Device device = run.placement.device;
  const TensorFile weights("random", "random", std::make_shared<RandomWeights>());
  const Inception network(weights, InceptionReading::kPytorchFid, {.level = run.level}, run.placement);
  Generator g(1);
  const Tensor images = randint(256, {run.batch, 32, 32, 3}, g).to(DType::kU8), there = images.to(device);
  if (!device.is_cpu()) {
    const double difference = difference_from_cpu(run, weights, network, images);
    // bf16: 47 convolutions follow one another, each rounds weights and results: four standard deviations of their sum.
    const double allowed = run.placement.dtype == DType::kF32 ? 1e-4 : 4 * std::sqrt(2.0 * 47 / 3) * 0x1p-9;
    std::printf("valid: features differ from the CPU's by %.2e of the largest\n", difference);
    if (!(difference < allowed)) {
      throw Error(cat("bench_inception: the features differ from the CPU's by ", difference));
    }
  }
  const auto step = [&] { network(inception_input(there, InceptionResize::kPytorch)); };
  seconds_on(device, step);
  std::vector<double> seconds;
  for (int64_t i = 0; i < run.steps; ++i) {
    check_interrupt();
    seconds.push_back(seconds_on(device, step));
  }
  const double time = median(seconds);
  return {1e3 * time, static_cast<double>(run.batch) / time, peak_bytes(device)};
}

void print(const std::string& name, const Figures& f, double gflop) {
  std::printf("%-27s %9.2f images/s  %8.1f GF/s  peak %s\n", name.c_str(), f.images_per_second,
              f.images_per_second * gflop, format_bytes(f.bytes).c_str());
}

void run(int argc, char** argv) {
  Run run;
  int count = 0;
  std::string device = "cpu", dtype = "f32", json;
  Options options("bench_inception", "Times Inception-v3, with the resize before it, against PyTorch's.");
  options.add("level", run.level, "of features: 768 or 2048");
  options.add("batch", run.batch, "images").positive();
  options.add("steps", run.steps, "timed batches").positive();
  options.add("device", device, "cpu, cuda or cuda-host");
  options.add("dtype", dtype, "what the network computes in; on the CPU f32").choices({"f32", "bf16"});
  options.add("json", json, "file for the results");
  options.add("threads", count, "processor threads").range(0, 4096).default_text("all cores");
  options.parse(argc, argv);
  set_threads(count);
  run.placement = {.device = device_from_name(device), .dtype = dtype_from_name(dtype)};
  const bool on_cpu = run.placement.device.is_cpu();
  const double gflop = gflop_of_image(run.level);
  std::printf("inception: level %lld, batch %lld, %.2f GFLOP an image, %s, %s, %d threads, %s\n",
              static_cast<long long>(run.level), static_cast<long long>(run.batch), gflop, dtype.c_str(),
              device.c_str(), threads(), cpu_model().c_str());
  const Figures own = measure(run);  // before the fixture, whose memory would count
  if (on_cpu) { validate_fixture("procedural_inception.h5", argv[0]); }
  print("terrace", own, gflop);
  write_results(json, {{"ms", own.ms},
                       {"images_per_s", own.images_per_second},
                       {"tflops", own.images_per_second * gflop / 1e3},
                       {"peak_bytes", own.bytes}});
  const std::pair<const char*, double> peers[] = {{"", on_cpu ? 2.0 : 1.5}, {" --compile", on_cpu ? 1.3 : 1.5}};
  for (const auto& [mode, target] : peers) {
    const auto peer = run_torch_peer(
        cat("inception --level ", run.level, " --batch ", run.batch, " --steps ", run.steps, " --threads ", threads(),
            " --device ", device == "cuda" ? "cuda" : "cpu", " --dtype ", dtype == "f32" ? "fp32" : "bf16", mode),
        argv[0]);
    if (!peer) {
      std::printf("no peer: set TORCH_PYTHON to a python that has PyTorch and torchvision\n");
      return;
    }
    const Figures f{peer->at("ms"), peer->at("images_per_s"), peer->at("peak_bytes")};
    print(cat(peer->at("peer").get<std::string>(), *mode == 0 ? " eager" : " compiled"), f, gflop);
    std::printf("terrace is %.2fx as fast (target %.1f)\n", own.images_per_second / f.images_per_second, target);
  }
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
