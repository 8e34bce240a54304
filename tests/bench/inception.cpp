// Inception-v3 on 32 px images, resize included, beside PyTorch's where TORCH_PYTHON names an interpreter that has it
// and torchvision: the same work as torch_var.py inception, in eager mode and compiled.
#include <cmath>
#include <cstdio>

#include "experiments/support/options.h"
#include "experiments/support/program.h"
#include "experiments/support/progress.h"
#include "experiments/support/run_record.h"
#include "experiments/support/timing.h"
#include "metrics/inception.h"
#include "metrics/inception_plan.h"
#include "metrics/resize.h"
#include "tensor/allocator.h"
#include "tensor/random.h"
#include "tests/bench/golden_check.h"
#include "tests/bench/torch_peer.h"

namespace terrace {
namespace {

/// Random weights that keep activations of the order of 1.
class RandomWeights : public TensorReader {
 public:
  RandomWeights() {
    for (const InceptionStep& step : inception_plan().steps) {
      if (step.name.empty()) continue;
      const int64_t o = step.to.channels;
      add(step.name + ".conv.weight", {o, step.from.channels, step.window.height, step.window.width});
      for (const char* part : {"weight", "bias", "running_mean", "running_var"}) add(cat(step.name, ".bn.", part), {o});
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
    for (int64_t i = 0; i < out.numel(); ++i) w[i] *= static_cast<float>(deviation);
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
    if (s.name.empty()) continue;
    sum += 2e-9 * static_cast<double>(s.to.numel() * s.from.channels * s.window.height * s.window.width);
  }
  return sum;
}

struct Figures {
  double images_per_second = 0, bytes = 0;
};

Figures measure(int64_t level, int64_t batch, int64_t steps) {
  const TensorFile weights("random", "random", std::make_shared<RandomWeights>());
  const Inception network(weights, InceptionReading::kPytorchFid, {.level = level});
  Generator g(1);
  const Tensor images = randint(256, {batch, 32, 32, 3}, g).to(DType::kU8);
  const auto step = [&] { return network(inception_input(images, InceptionResize::kPytorch)); };
  step();
  std::vector<double> seconds;
  for (int64_t i = 0; i < steps; ++i) {
    check_interrupt();
    seconds.push_back(seconds_of(step));
  }
  return {static_cast<double>(batch) / median(seconds), static_cast<double>(peak_resident_bytes())};
}

void print(const std::string& name, const Figures& f, double gflop) {
  std::printf("%-27s %7.2f images/s  %6.1f GF/s  peak resident %s\n", name.c_str(), f.images_per_second,
              f.images_per_second * gflop, format_bytes(f.bytes).c_str());
}

void run(int argc, char** argv) {
  int64_t level = 768, batch = 32, steps = 5;
  int count = 0;
  Options options("bench_inception", "Times Inception-v3, with the resize before it, against PyTorch's.");
  options.add("level", level, "of features: 768 or 2048");
  options.add("batch", batch, "images").positive();
  options.add("steps", steps, "timed batches").positive();
  options.add("threads", count, "processor threads").range(0, 4096).default_text("all cores");
  options.parse(argc, argv);
  set_threads(count);
  const double gflop = gflop_of_image(level);
  std::printf("inception: level %lld, batch %lld, %.2f GFLOP an image, f32, %d threads, %s\n",
              static_cast<long long>(level), static_cast<long long>(batch), gflop, threads(), cpu_model().c_str());
  const Figures own = measure(level, batch, steps);  // before the fixture, whose memory would count
  validate_fixture("procedural_inception.h5", argv[0]);
  print("terrace", own, gflop);
  for (const auto& [mode, target] : {std::pair{"", 2.0}, std::pair{" --compile", 1.3}}) {
    const auto peer = run_torch_peer(
        cat("inception --level ", level, " --batch ", batch, " --steps ", steps, " --threads ", threads(), mode),
        argv[0]);
    if (!peer) {
      std::printf("no peer: set TORCH_PYTHON to a python that has PyTorch and torchvision\n");
      return;
    }
    const Figures f{peer->at("images_per_s"), peer->at("peak_bytes")};
    print(cat(peer->at("peer").get<std::string>(), *mode == 0 ? " eager" : " compiled"), f, gflop);
    std::printf("terrace is %.2fx as fast (target %.1f)\n", own.images_per_second / f.images_per_second, target);
  }
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
