// A training step of the transformer, beside PyTorch's where TORCH_PYTHON names an interpreter that has it.
//
// The same work as torch_var.py train: teacher forcing over the 32 px pyramid (155 tokens), cross-entropy, backward,
// clipping, AdamW. FLOPs are counted as there: two per multiplication of every product that is needed, visible
// pairs only in attention, backward twice the forward.
#include <cmath>
#include <cstdio>
#include <optional>

#include "autograd/functions.h"
#include "experiments/support/options.h"
#include "experiments/support/program.h"
#include "experiments/support/progress.h"
#include "experiments/support/run_record.h"
#include "experiments/support/timing.h"
#include "tensor/allocator.h"
#include "tensor/pointwise.h"
#include "tests/bench/torch_peer.h"
#include "var/var_trainer.h"

namespace terrace {
namespace {

constexpr int64_t kClasses = 1000;
constexpr const char* kPyramid = "1,2,3,4,5,6,8";

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

VarTrainingData random_data(const VarConfig& c, int64_t count) {
  Generator g(1);
  VarTrainingData data;
  data.indices = randint(c.vocab_size, {count, c.length()}, g);
  data.labels = randint(c.num_classes, {count}, g);
  data.embed = [input = randn({count, c.length() - 1, c.Cvae}, g)](const Tensor&) { return input; };
  return data;
}

/// The derivative of the loss along the gradient is the gradient's norm: a check of the whole backward pass.
void validate(VarTransformer& model, const VarTrainingData& data) {
  const auto loss = [&] {
    return mean(cross_entropy(model.forward(data.labels, Variable(data.embed(data.indices))), data.indices));
  };
  const Variable first = loss();
  first.backward();
  const double at_start = first.item<double>(), norm = global_grad_norm(model.parameters());
  const auto move = [&](double distance) {
    for (Variable& p : model.parameters()) add_(p.value(), p.grad(), distance / norm);
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
  if (!(std::abs(slope / norm - 1) < 0.01))
    throw Error("train_step: the gradient does not match the slope of the loss");
}

Figures measure(const VarConfig& config, int64_t batch, int64_t steps) {
  Generator g(0);
  VarTransformer model(config, g);
  const VarTrainingData data = random_data(config, batch);
  validate(model, data);
  VarTrainOptions options;
  options.steps = steps + 2;
  options.batch = batch;
  options.lr = 1e-4;
  VarTrainer trainer(model, data, options);
  trainer.step(VarTrainer::Detail::kLoss);
  trainer.step(VarTrainer::Detail::kLoss);
  std::vector<double> seconds;
  for (int64_t i = 0; i < steps; ++i) {
    check_interrupt();
    seconds.push_back(seconds_of([&] { trainer.step(VarTrainer::Detail::kLoss); }));
  }
  const double step = median(seconds);
  return {.ms = step * 1e3,
          .gflops = step_gflop(config, batch) / step,
          .bytes = static_cast<double>(peak_resident_bytes())};
}

/// Runs torch_var.py; nothing where TORCH_PYTHON is not set.
std::optional<Figures> measure_peer(const VarConfig& config, int64_t batch, int64_t steps, const char* program) {
  const auto j = run_torch_peer(cat("train --depth ", config.depth, " --batch ", batch, " --patch-nums ", kPyramid,
                                    " --threads ", threads(), " --steps ", steps),
                                program);
  if (!j) return std::nullopt;
  std::printf("peer: %s\n", j->at("peer").get<std::string>().c_str());
  return Figures{.ms = j->at("ms"), .gflops = 1e3 * j->at("tflops").get<double>(), .bytes = j->at("peak_bytes")};
}

void print(const char* name, const Figures& f) {
  std::printf("%-10s %9.1f ms/step  %7.1f GF/s  peak resident %s\n", name, f.ms, f.gflops,
              format_bytes(f.bytes).c_str());
}

void run(int argc, char** argv) {
  VarConfig config;
  config.num_classes = kClasses;
  config.drop_path_rate = config.cond_drop_rate = 0;
  int64_t depth = 8, batch = 4, steps = 7;
  int count = 0;
  Options options("bench_train_step", "Times a training step of the VAR transformer against PyTorch's.");
  options.add("depth", depth, "blocks; 64 channels and one head each").positive();
  options.add("batch", batch, "images").positive();
  options.add("steps", steps, "timed steps").positive();
  options.add("threads", count, "processor threads").range(0, 4096).default_text("all cores");
  options.parse(argc, argv);
  set_threads(count);
  config.depth = config.num_heads = depth;
  config.embed_dim = 64 * depth;

  std::printf("training step: depth %lld, %lld tokens, batch %lld, f32, %d threads, %s\n",
              static_cast<long long>(depth), static_cast<long long>(config.length()), static_cast<long long>(batch),
              threads(), cpu_model().c_str());
  const Figures own = measure(config, batch, steps);
  print("terrace", own);
  if (const auto peer = measure_peer(config, batch, steps, argv[0])) {
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
