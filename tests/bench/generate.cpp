// One image of the released size, tokens and decoding, by stages, beside PyTorch's where TORCH_PYTHON names an
// interpreter that has it: the same work as torch_var.py generate and decode. Weights are drawn at random.
//
// The roofline: a stage can take no less than its FLOPs at the measured multiply-add peak, nor than its bytes (weights,
// keys and values; activations stay near the processor) at the measured rate of reading. The greater is `least`.
#include <algorithm>
#include <cstdio>
#include <numeric>
#include <optional>

#include "autograd/functions.h"
#include "experiments/cli/options.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "experiments/cli/timing.h"
#include "nn/weight_scopes.h"
#include "tensor/device/allocator.h"
#include "tensor/reduce.h"
#include "tests/bench/device.h"
#include "tests/bench/golden_check.h"
#include "tests/bench/machine_peak.h"
#include "tests/bench/torch_peer.h"
#include "tests/var/transformer/scale_logits.h"
#include "var/presets.h"
#include "var/tokenizer/vqvae.h"
#include "var/transformer/sampler.h"

namespace terrace {
namespace {

struct Cost {
  double gflop = 0, gbyte = 0;
  void operator+=(const Cost& other) {
    gflop += other.gflop;
    gbyte += other.gbyte;
  }
};

/// Scale `s` of one image with guidance: two rows a token.
Cost scale_work(const VarConfig& c, int64_t s, int64_t weight_bytes) {
  const Pyramid pyramid(c.patch_nums);
  const auto C = static_cast<double>(c.embed_dim), depth = static_cast<double>(c.depth);
  const auto rows = static_cast<double>(2 * pyramid.tokens(s)), seen = static_cast<double>(pyramid.end(s));
  const double weights = 12 * C * C * depth + C * static_cast<double>(c.vocab_size);
  return {.gflop = (2 * rows * weights + 4 * rows * seen * C * depth) / 1e9,
          .gbyte = (weights + 2 * 2 * seen * C * depth) * static_cast<double>(weight_bytes) / 1e9};
}

/// adaLN of all blocks, once for all scales.
Cost condition_work(const VarConfig& c, int64_t weight_bytes) {
  const auto C = static_cast<double>(c.embed_dim), depth = static_cast<double>(c.depth);
  const double weights = (6 * depth + 2) * C * C;
  return {.gflop = 2 * 2 * weights / 1e9, .gbyte = weights * static_cast<double>(weight_bytes) / 1e9};
}

/// The decoder's convolutions, with the multiplications that Winograd's F(4x4, 3x3) needs: a quarter.
class DecoderCost {
 public:
  explicit DecoderCost(const VqvaeConfig& c) : side_(c.patch_nums.back()) {
    int64_t width = c.ch * c.ch_mult.back();
    conv(c.z_channels, c.z_channels, 3);
    conv(c.z_channels, width, 3);
    block(width, width);
    attention(width);
    block(width, width);
    for (size_t level = c.ch_mult.size(); level-- > 0;) {
      const int64_t out = c.ch * c.ch_mult[level];
      for (int64_t i = 0; i <= c.num_res_blocks; ++i) {
        block(width, out);
        width = out;
        if (level + 1 == c.ch_mult.size()) { attention(width); }
      }
      if (level == 0) { break; }
      side_ *= 2;
      conv(width, width, 3);
    }
    conv(width, c.in_channels, 3);
  }
  Cost work() const { return work_; }

 private:
  void conv(int64_t in, int64_t out, int64_t kernel) {
    constexpr double kWinograd = 0.25;
    const auto weights = static_cast<double>(in * out * kernel * kernel);
    work_.gflop += 2e-9 * weights * static_cast<double>(side_ * side_) * (kernel == 3 ? kWinograd : 1);
    work_.gbyte += 4e-9 * (weights + static_cast<double>((in + out) * side_ * side_));
  }
  void block(int64_t in, int64_t out) {
    conv(in, out, 3);
    conv(out, out, 3);
    if (in != out) { conv(in, out, 1); }
    work_.gbyte += 4e-9 * static_cast<double>((2 * in + 2 * out + 3 * out) * side_ * side_);  // two norms, the sum
  }
  void attention(int64_t width) {
    conv(width, 4 * width, 1);
    work_.gflop += 4e-9 * static_cast<double>(side_ * side_ * side_ * side_ * width);
  }
  int64_t side_;
  Cost work_;
};

struct Models {
  std::unique_ptr<VarTransformer> transformer;
  std::unique_ptr<Vqvae> tokenizer;
};

std::unique_ptr<VarTransformer> random_transformer(const VarConfig& config, DType dtype) {
  const LinearWeightsIn type(dtype);
  Generator g(0);
  auto model = std::make_unique<VarTransformer>(config, g);
  model->eval();
  return model;
}

/// Seconds of every stage of one image: what precedes the scales, the scales (the first with the conditions), decoding.
std::vector<double> draw(const Models& m, int64_t batch, Device device) {
  using Clock = std::chrono::steady_clock;
  std::vector<Clock::time_point> at;
  const auto stage_ends = [&] {
    device_memory(device).synchronize();
    at.push_back(Clock::now());
  };
  stage_ends();
  const Tensor label = Tensor::full({batch}, 7, DType::kI64);
  std::vector<uint64_t> seeds(static_cast<size_t>(batch));
  std::iota(seeds.begin(), seeds.end(), 1);
  const SampleOptions options{.cfg = 1.5, .top_k = 900, .top_p = 0.96};
  const SampleExtras extras{.poll = [&](int64_t) { stage_ends(); }};
  const Sampled sampled = sample(*m.transformer, m.tokenizer->quantizer(), label, seeds, options, extras);
  stage_ends();
  const Tensor image = m.tokenizer->f_hat_to_images(sampled.f_hat);
  stage_ends();
  std::vector<double> seconds;
  for (size_t i = 1; i < at.size(); ++i) {
    seconds.push_back(std::chrono::duration<double>(at[i] - at[i - 1]).count());
  }
  return seconds;
}

void print_stage(const std::string& name, const Cost& w, double seconds, double peak, double rate) {
  const double least = std::max(w.gflop / peak, w.gbyte / rate);
  std::printf("%-12s %8.2f GFLOP %7.3f GB  least %7.1f ms  took %7.1f ms  %6.1f GF/s  %5.1f GB/s  %3.0f %%\n",
              name.c_str(), w.gflop, w.gbyte, 1e3 * least, 1e3 * seconds, w.gflop / seconds, w.gbyte / seconds,
              100 * least / seconds);
}

void print_stages(const Models& m, int64_t weight_bytes, const std::vector<double>& seconds) {
  const double single = peak_gflops(), pairs = weight_bytes == 2 ? peak_bf16_gflops() : 0, rate = read_gbytes();
  std::printf("peak %.0f GF/s, reading %.1f GB/s\n", single, rate);
  if (pairs > 0) { std::printf("peak of bf16 pairs, for all but decoding: %.0f GF/s\n", pairs); }
  const VarConfig& c = m.transformer->config();
  const auto scales = static_cast<int64_t>(c.patch_nums.size());
  Cost total;
  double least = 0;
  const auto stage = [&](const std::string& name, const Cost& w, double took) {
    const double peak = pairs > 0 && name != "decoding" ? pairs : single;
    print_stage(name, w, took, peak, rate);
    total += w;
    least += std::max(w.gflop / peak, w.gbyte / rate);
  };
  for (int64_t s = 0; s < scales; ++s) {
    const auto i = static_cast<size_t>(s);
    Cost work = scale_work(c, s, weight_bytes);
    if (s == 0) { work += condition_work(c, weight_bytes); }
    stage(cat(c.patch_nums[i], "x", c.patch_nums[i], s == 0 ? ", adaLN" : ""), work, seconds[i + 1]);
  }
  stage("decoding", DecoderCost(m.tokenizer->config()).work(), seconds.back());
  double sum = 0;
  for (const double each : seconds) { sum += each; }
  std::printf("in all %.1f GFLOP, %.2f GB; least %.2f s, took %.2f s: %.0f %%\n", total.gflop, total.gbyte, least, sum,
              100 * least / sum);
}

/// Relative RMS of the logits by bf16 weights, scale by scale, of given tokens.
void print_rounding(const VarConfig& config, VarTransformer& narrow) {
  const NoGrad no_grad;
  Generator g(2);
  const Tensor label = Tensor::full({1}, 7, DType::kI64);
  const Tensor input = randn({1, config.length() - 1, config.Cvae}, g);
  const Tensor found = scale_logits(narrow, label, input);
  const Tensor expected = scale_logits(*random_transformer(config, DType::kF32), label, input);
  const double error = root_mean_square((Variable(found) - Variable(expected)).value()) / root_mean_square(expected);
  std::printf("bf16 weights: logits differ from f32's by %.3f %% (relative RMS)\n", 100 * error);
  if (!(error < 0.02)) { throw Error("bench_generate: the logits by bf16 weights differ by more than 2 %"); }
}

struct Seconds {
  double tokens, decoding;
  double all() const { return tokens + decoding; }
};

std::optional<Seconds> measure_peer(int64_t depth, int64_t rounds, const char* program) {
  const std::string rest = cat(" --warmup 1 --steps ", rounds, " --threads ", threads());
  const auto tokens = run_torch_peer(cat("generate --depth ", depth, rest), program);
  if (!tokens) { return std::nullopt; }
  const auto decoding = run_torch_peer("decode" + rest, program);
  std::printf("peer: %s\n", tokens->at("peer").get<std::string>().c_str());
  return Seconds{1e-3 * tokens->at("ms").get<double>(), 1e-3 * decoding->at("ms").get<double>()};
}

void print(const char* name, const Seconds& s) {
  std::printf("%-16s tokens %6.2f s, decoding %5.2f s, in all %6.2f s\n", name, s.tokens, s.decoding, s.all());
}

void run(int argc, char** argv) {
  std::string preset = "var-d16", dtype_name = "f32", device_name = "cpu", json;
  int64_t rounds = 3, batch = 1;
  int count = 0;
  Options options("bench_generate", "Times the drawing of one image by the full-size model against PyTorch.");
  options.add("model", preset, "preset").choices(var_preset_names());
  options.add("dtype", dtype_name, "of the transformer's matrices").choices({"f32", "bf16"});
  options.add("rounds", rounds, "timed draws after the first").positive();
  options.add("batch", batch, "images at once; the roofline and PyTorch are for one on the CPU").positive();
  options.add("device", device_name, "where to compute: cpu, cuda, cuda-host");
  options.add("json", json, "file for the results");
  options.add("threads", count, "processor threads").range(0, 4096).default_text("all cores");
  options.parse(argc, argv);
  set_threads(count);
  VarConfig config = var_preset(preset);
  VqvaeConfig tokenizer = vqvae_preset(preset == "var-32px" ? "vqvae-32px" : "vae-ch160v4096z32");
  tokenizer.patch_nums = config.patch_nums;
  config.vocab_size = tokenizer.vocab_size;
  config.Cvae = tokenizer.z_channels;
  const DType dtype = dtype_from_name(dtype_name);
  const Device device = device_from_name(device_name);
  std::printf("%lld image(s) of %s, weights in %s, on %s, %d threads, %s\n", static_cast<long long>(batch),
              preset.c_str(), dtype_name.c_str(), device_name.c_str(), threads(), cpu_model().c_str());

  Models models;
  Generator g(1);
  models.transformer = random_transformer(config, dtype);
  models.tokenizer = std::make_unique<Vqvae>(tokenizer, g);
  models.tokenizer->eval();
  models.transformer->to(device);
  models.tokenizer->to(device);
  std::vector<std::vector<double>> all;
  for (int64_t i = 0; i <= rounds; ++i) {
    check_interrupt();
    all.push_back(draw(models, batch, device));
  }
  const double bytes = peak_bytes(device);
  validate_fixture("sample_greedy.h5", argv[0], device);
  if (device.is_cpu() && dtype == DType::kBF16) { print_rounding(config, *models.transformer); }

  const auto sum = [](const std::vector<double>& stages) {
    double tokens = 0;
    for (size_t i = 0; i + 1 < stages.size(); ++i) { tokens += stages[i]; }
    return Seconds{tokens, stages.back()};
  };
  std::vector<double> middle;
  for (size_t stage = 0; stage < all[0].size(); ++stage) {
    std::vector<double> of_stage;
    for (size_t i = 1; i < all.size(); ++i) { of_stage.push_back(all[i][stage]); }
    middle.push_back(median(of_stage));
  }
  if (device.is_cpu() && batch == 1) { print_stages(models, dtype == DType::kBF16 ? 2 : 4, middle); }
  print("terrace, first", sum(all[0]));
  print("terrace, median", sum(middle));
  std::printf("peak memory %s\n", format_bytes(bytes).c_str());
  const double images = static_cast<double>(batch);
  write_results(json, {{"tokens_ms", 1e3 * sum(middle).tokens},
                       {"tokens_images_per_s", images / sum(middle).tokens},
                       {"decoding_ms", 1e3 * sum(middle).decoding},
                       {"images_per_s", images / sum(middle).all()},
                       {"peak_bytes", bytes}});
  if (!device.is_cpu() || batch > 1) { return; }
  models = {};  // the peer has the memory to itself
  if (const auto peer = measure_peer(config.depth, rounds, argv[0])) {
    print("pytorch, f32", *peer);
    std::printf("terrace is %.2fx as fast (first image %.2fx); target %s\n", peer->all() / sum(middle).all(),
                peer->all() / sum(all[0]).all(), dtype == DType::kBF16 ? "3, where the processor has bf16" : "1.7");
  } else {
    std::printf("no peer: set TORCH_PYTHON to a python that has PyTorch\n");
  }
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
