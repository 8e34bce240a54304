// A training step of the transformer, beside PyTorch's where TORCH_PYTHON names an interpreter that has it.
//
// The same work as torch_var.py train: teacher forcing over the 32 px pyramid (155 tokens), cross-entropy, backward,
// clipping, AdamW. FLOPs are counted as there: two per multiplication of every product that is needed, visible
// pairs only in attention, backward twice the forward.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "autograd/functions.h"
#include "experiments/cli/options.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "experiments/cli/timing.h"
#include "tensor/device/allocator.h"
#include "tensor/pointwise.h"
#include "tests/bench/device.h"
#include "tests/bench/torch_peer.h"
#include "var/training/var_trainer.h"

namespace terrace {
namespace {

constexpr int64_t kClasses = 1000;

struct Figures {
  double ms = 0, gflops = 0, bytes = 0;
};

double step_gflop(const VarConfig& c, int64_t batch) {
  const auto C = static_cast<double>(c.embed_dim), depth = static_cast<double>(c.depth);
  double L = 0, pairs = 0;
  for (const int64_t p : c.patch_nums) {
    const auto n = static_cast<double>(p * p);
    L += n;
    pairs += n * L;
  }
  const double forward = 2 * L * 12 * C * C * depth + 4 * pairs * C * depth +
                         2 * L * C * static_cast<double>(c.vocab_size) + depth * 12 * C * C;
  return 3 * forward * static_cast<double>(batch) / 1e9;
}

VarTrainingData random_data(const VarConfig& c, const Quantizer& quantizer, int64_t count) {
  Generator g(1);
  VarTrainingData data;
  data.indices = randint(c.vocab_size, {count, c.length()}, g);
  data.labels = randint(c.num_classes, {count}, g);
  data.quantizer = &quantizer;
  return data;
}

/// The derivative of the loss along the gradient is the gradient's norm: a check of the whole backward pass.
void validate(VarTransformer& model, const VarTrainingData& data, Device device) {
  constexpr int64_t kImages = 4;  // of more, what is kept in f32 for the backward pass might not fit
  const int64_t count = std::min(kImages, data.labels.numel());
  const Tensor indices = data.indices.slice(0, 0, count).to(device), labels = data.labels.slice(0, 0, count);
  const Variable input(data.quantizer->indices_to_var_input(indices));
  const auto loss = [&] { return mean(cross_entropy(model.forward(labels, input), indices)); };
  const Variable first = loss();
  first.backward();
  const double at_start = first.item<double>(), norm = global_grad_norm(model.parameters());
  const auto move = [&](double distance) {
    for (Variable& p : model.parameters()) { add_(p.value(), p.grad(), distance / norm); }
  };
  const NoGrad no_grad;
  constexpr double kDistance = 0.02;
  move(kDistance);
  const double above = loss().item<double>();
  move(-2 * kDistance);
  const double below = loss().item<double>();
  move(kDistance);
  const double slope = (above - below) / (2 * kDistance);
  model.zero_grad();
  std::printf("valid: loss at the start %.4f (ln V = %.4f), gradient norm %.5f, slope along it %.5f\n", at_start,
              std::log(static_cast<double>(model.config().vocab_size)), norm, slope);
  if (!(std::abs(slope / norm - 1) < 0.01)) {
    throw Error("train_step: the gradient does not match the slope of the loss");
  }
}

struct Run {
  VarConfig config;
  int64_t batch = 4, steps = 7;
  Device device;
  DType dtype = DType::kF32;
};

Figures measure(const Run& run) {
  const VarConfig& config = run.config;
  Generator g(0);
  VarTransformer model(config, g);
  model.to(run.device);
  // Without convolutions, so that the step is the transformer's.
  Quantizer quantizer(
      {.vocab_size = config.vocab_size, .channels = config.Cvae, .patch_nums = config.patch_nums, .quant_resi = 0}, g);
  quantizer.to(run.device);
  const VarTrainingData data = random_data(config, quantizer, run.batch);
  validate(model, data, run.device);
  VarTrainOptions options;
  options.dtype = run.dtype;
  options.steps = run.steps + 2;
  options.batch = run.batch;
  options.lr = 1e-4;
  VarTrainer trainer(model, data, options);
  reset_peak_memory(run.device);  // of the validation
  trainer.step(VarTrainer::Detail::kLoss);
  trainer.step(VarTrainer::Detail::kLoss);
  std::vector<double> seconds;
  for (int64_t i = 0; i < run.steps; ++i) {
    check_interrupt();
    seconds.push_back(seconds_on(run.device, [&] { trainer.step(VarTrainer::Detail::kLoss); }));
  }
  const double step = median(seconds);
  return {.ms = step * 1e3, .gflops = step_gflop(config, run.batch) / step, .bytes = peak_bytes(run.device)};
}

/// Runs torch_var.py; nothing where TORCH_PYTHON is not set.
std::optional<Figures> measure_peer(const Run& run, const char* program) {
  std::string pyramid;
  for (const int64_t p : run.config.patch_nums) { pyramid += cat(pyramid.empty() ? "" : ",", p); }
  const auto j = run_torch_peer(
      cat("train --depth ", run.config.depth, " --batch ", run.batch, " --patch-nums ", pyramid, " --threads ",
          threads(), " --steps ", run.steps, " --device ", run.device.type == DeviceType::kCuda ? "cuda" : "cpu",
          " --dtype ", run.dtype == DType::kF32 ? "fp32" : "bf16"),
      program);
  if (!j) { return std::nullopt; }
  std::printf("peer: %s\n", j->at("peer").get<std::string>().c_str());
  return Figures{.ms = j->at("ms"), .gflops = 1e3 * j->at("tflops").get<double>(), .bytes = j->at("peak_bytes")};
}

void print(const char* name, const Figures& f) {
  std::printf("%-10s %9.1f ms/step  %7.1f GF/s  peak memory %s\n", name, f.ms, f.gflops, format_bytes(f.bytes).c_str());
}

void run(int argc, char** argv) {
  Run r;
  r.config.num_classes = kClasses;
  r.config.drop_path_rate = r.config.cond_drop_rate = 0;
  r.config.patch_nums = {1, 2, 3, 4, 5, 6, 8};
  int64_t depth = 8;
  int count = 0;
  std::string device = "cpu", dtype = "f32", json;
  Options options("bench_train_step", "Times a training step of the VAR transformer against PyTorch's.");
  options.add("depth", depth, "blocks; 64 channels and one head each").positive();
  options.add("batch", r.batch, "images").positive();
  options.add("patch-nums", r.config.patch_nums, "the pyramid").positive();
  options.add("steps", r.steps, "timed steps").positive();
  options.add("device", device, "where to compute: cpu, cuda, cuda-host");
  options.add("dtype", dtype, "what blocks and head compute in").choices({"f32", "bf16"});
  options.add("json", json, "file for the results");
  options.add("threads", count, "processor threads").range(0, 4096).default_text("all cores");
  options.parse(argc, argv);
  set_threads(count);
  r.device = device_from_name(device);
  r.dtype = dtype_from_name(dtype);
  r.config.depth = r.config.num_heads = depth;
  r.config.embed_dim = 64 * depth;

  std::printf("training step: depth %lld, %lld tokens, batch %lld, %s on %s, %d threads, %s\n",
              static_cast<long long>(depth), static_cast<long long>(r.config.length()), static_cast<long long>(r.batch),
              dtype.c_str(), device.c_str(), threads(), cpu_model().c_str());
  const Figures own = measure(r);
  print("terrace", own);
  write_results(json, {{"ms", own.ms},
                       {"images_per_s", 1e3 * static_cast<double>(r.batch) / own.ms},
                       {"tflops", own.gflops / 1e3},
                       {"peak_bytes", own.bytes}});
  if (const auto peer = measure_peer(r, argv[0])) {
    print("pytorch", *peer);
    std::printf("terrace is %.2fx as fast (target 1.3), with %.2fx the memory (target 0.7)\n", peer->ms / own.ms,
                own.bytes / peer->bytes);
  } else {
    std::printf("no peer: set TORCH_PYTHON to a python that has PyTorch\n");
  }
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
