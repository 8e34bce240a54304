#include "experiments/sampling/generation.h"
#include "var/content_hash.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <mutex>
#include <sstream>

#include "data/datasets/class_names.h"
#include "data/files/atomic_file.h"
#include "data/images/pixels.h"
#include "experiments/cli/memory_bounds.h"
#include "experiments/cli/timing.h"
#include "nn/weight_scopes.h"
#include "tensor/base/names.h"
#include "tensor/device/parallel.h"
#include "tensor/random_streams.h"
#include "var/presets.h"
#include "var/tokenizer/token_cache.h"
#include "var/weights/checkpoint.h"
#include "var/weights/load.h"

namespace terrace {
namespace {

std::vector<std::string> read_lines(const std::string& path) {
  std::istringstream text(read_file(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) {
    if (!line.empty() && line.back() == '\r') { line.pop_back(); }
    if (!line.empty()) { lines.push_back(line); }
  }
  return lines;
}

/// The preset and its tokenizer at full size, both drawn from the seed.
Models random_models(const std::string& preset, uint64_t seed, DType dtype) {
  VarConfig config = var_preset(preset);
  VqvaeConfig tokenizer = vqvae_preset(preset == "var-32px" ? "vqvae-32px" : "vae-ch160v4096z32");
  tokenizer.patch_nums = config.patch_nums;
  config.vocab_size = tokenizer.vocab_size;
  config.Cvae = tokenizer.z_channels;
  Generator for_transformer(seed, streams::kDefault), for_tokenizer(seed, streams::kTokenizerWeights);
  Models models;
  {
    const LinearWeightsIn type(dtype);
    models.transformer = std::make_unique<VarTransformer>(config, for_transformer);
  }
  models.tokenizer = std::make_unique<Vqvae>(tokenizer, for_tokenizer);
  models.transformer->eval();
  models.tokenizer->eval();
  return models;
}

LoadedTransformer load_transformer_in(DType dtype, const ModelOptions& chosen) {
  const LinearWeightsIn type(dtype);
  return load_transformer(chosen.checkpoint, {.num_heads = chosen.heads});
}

Models stored_models(const ModelOptions& chosen, DType dtype) {
  Models models;
  LoadedTransformer loaded = load_transformer_in(dtype, chosen);
  WeightOptions tokenizer_options;
  tokenizer_options.patch_nums = loaded.model->config().patch_nums;
  models.tokenizer = load_vqvae(chosen.tokenizer, tokenizer_options);
  check_tokenizer_fits(loaded.model->config(), models.tokenizer->config());
  if (!loaded.tokenizer_hash.empty() && loaded.tokenizer_hash != content_hash(*models.tokenizer)) {
    throw ConfigError(
        cat(chosen.checkpoint, " was trained on the tokens of another tokenizer than ", chosen.tokenizer));
  }
  models.transformer = std::move(loaded.model);
  models.class_names = std::move(loaded.class_names);
  return models;
}

Json identity_of_file(const std::string& given) {
  const std::string path = checkpoint_file(given);
  std::error_code ignored;
  return {{"path", path},
          {"bytes", std::filesystem::file_size(path, ignored)},
          {"changed", std::filesystem::last_write_time(path, ignored).time_since_epoch().count()}};
}

}  // namespace

// --- Models ---

void declare_models(Options& options, ModelOptions& models) {
  options.group("Model");
  options
      .add("checkpoint", models.checkpoint,
           "weights of the transformer: the folder of a run of train_var, its checkpoint.h5, .pth, .safetensors")
      .metavar("FILE|FOLDER")
      .input();
  options
      .add("tokenizer", models.tokenizer, "weights of the tokenizer that it was trained with: likewise, of train_vqvae")
      .metavar("FILE|FOLDER")
      .input();
  options.add("class-names", models.class_names, "text file with the name of a class in each line")
      .metavar("FILE")
      .input()
      .default_text("those of the checkpoint");
  options.add("heads", models.heads, "attention heads, where the checkpoint does not tell (no attn_l2_norm)")
      .range(0, 1024)
      .default_text("its width / 64");
  options.add("model", models.preset, "with --random-weights: the model").choices(var_preset_names());
  options
      .add("random-weights", models.random_weights,
           "in place of files: draw the weights of --model and its tokenizer from this seed, to measure speed")
      .at_least(-1)
      .default_text("");
  options
      .add(
          "dtype", models.dtype,
          "type that the transformer's matrices are kept in; bf16: half their memory, 8 bits of precision, sums in f32")
      .choices({"f32", "bf16"});
}

Models open_models(const ModelOptions& chosen, Device device) {
  const bool random = chosen.random_weights >= 0, files = !chosen.checkpoint.empty() || !chosen.tokenizer.empty();
  if (random && files) {
    throw ConfigError("--random-weights takes the place of --checkpoint and --tokenizer: give one");
  }
  if (!random && chosen.preset != ModelOptions().preset) {
    throw ConfigError("--model has no effect without --random-weights");
  }
  if (random && chosen.heads > 0) { throw ConfigError("--heads has no effect with --random-weights"); }
  if (!random && chosen.checkpoint.empty()) {
    throw ConfigError("--checkpoint is missing: weights of the transformer (or --random-weights SEED)");
  }
  if (!random && chosen.tokenizer.empty()) {
    throw ConfigError("--tokenizer is missing: weights of the tokenizer (or --random-weights SEED)");
  }
  const DType dtype = chosen.dtype == "bf16" ? DType::kBF16 : DType::kF32;
  Models models = random ? random_models(chosen.preset, static_cast<uint64_t>(chosen.random_weights), dtype)
                         : stored_models(chosen, dtype);
  if (!chosen.class_names.empty()) { models.class_names = read_lines(chosen.class_names); }
  const auto names = static_cast<int64_t>(models.class_names.size());
  if (names != 0 && names != models.num_classes()) {
    throw ConfigError(cat("--class-names: ", chosen.class_names, " has ", names, " names, the model has ",
                          models.num_classes(), " classes"));
  }
  models.transformer->to(device);
  models.tokenizer->to(device);
  return models;
}

int64_t images_in_all(int64_t count, size_t classes) {
  constexpr double kBytesOfName = 64;  // in lists of files
  check_memory(static_cast<double>(count) * static_cast<double>(classes) * kBytesOfName,
               cat("--count ", count, " of ", classes, " classes"), "--count");
  return count * static_cast<int64_t>(classes);
}

int64_t fitting_batch(const Models& models, int64_t asked, int64_t count) {
  constexpr int64_t kMaxBatch = 64, kCacheBytes = int64_t{1} << 30;
  const VarConfig& c = models.transformer->config();
  const int64_t an_image = 2 * 2 * 4 * c.depth * c.length() * c.embed_dim;  // keys and values, twice with guidance, f32
  if (asked > 0) {
    // Without guidance and in bf16 they take a quarter.
    const double bytes = static_cast<double>(std::min(asked, count)) * static_cast<double>(an_image) / 4;
    if (models.transformer->device().is_cpu()) { check_memory(bytes, cat("--batch ", asked), "--batch"); }
    return asked;
  }
  return std::clamp<int64_t>(kCacheBytes / an_image, 1, kMaxBatch);
}

Json identity_of(const ModelOptions& chosen) {
  if (chosen.random_weights >= 0) {
    return {{"preset", chosen.preset}, {"seed", chosen.random_weights}, {"dtype", chosen.dtype}};
  }
  Json identity = {{"checkpoint", identity_of_file(chosen.checkpoint)},
                   {"tokenizer", identity_of_file(chosen.tokenizer)},
                   {"dtype", chosen.dtype}};
  if (chosen.heads > 0) { identity["heads"] = chosen.heads; }
  return identity;
}

int64_t Models::class_of(const std::string& text, const std::string& option) const {
  if (text == "none") { return num_classes(); }
  return find_class(text, class_names, num_classes(), option);
}

std::string Models::class_name(int64_t label) const {
  if (label == num_classes()) { return "none"; }
  return class_names.empty() ? std::to_string(label) : class_names[static_cast<size_t>(label)];
}

// --- Drawing ---

Sampler& Models::sampler(const SampleOptions& options, Sampler::Graphs graphs) const {
  if (kept_sampler == nullptr || !(kept_sampler->options() == options)) {
    kept_sampler = std::make_unique<Sampler>(*transformer, tokenizer->quantizer(), options, graphs);
  }
  return *kept_sampler;
}

void declare_sampling(Options& options, SamplingOptions& sampling) {
  SampleOptions& s = sampling.values;
  options.group("Sampling");
  options
      .add("cfg", s.cfg,
           "scale of classifier-free guidance at the last scale, rising linearly from 0 at the first; 0: none, in half "
           "the time")
      .at_least(0);
  options
      .add("top-k", s.top_k, "top-k sampling: keep the k most probable codes of the vocabulary, 0 for all; 1 is greedy")
      .at_least(0);
  options
      .add("top-p", s.top_p,
           "nucleus sampling: keep the most probable codes up to this cumulative probability, 0 for all")
      .range(0, 1);
  options.add("more-smooth", sampling.more_smooth,
              "mix the codes' vectors by Gumbel-softmax instead of sampling one: smoother, not a sample of the model");
  options.add("reproducible", sampling.reproducible,
              "the same bits whatever --batch and --threads: every image by itself on one thread");
  options.add("graphs", sampling.graphs, "on a GPU, record the launches of each scale once and replay them");
}

Tensor decode_pictures(const Models& models, const SamplingOptions& sampling, const Tensor& f_hat) {
  if (!sampling.reproducible) { return images_to_bytes(models.tokenizer->f_hat_to_images(f_hat)); }
  const int64_t B = f_hat.dim(0), side = models.image_size();
  Tensor pictures = Tensor::empty({B, side, side, 3}, DType::kU8);
  each_on_one_thread(B, [&](int64_t i) {
    const Tensor image = models.tokenizer->f_hat_to_images(f_hat.slice(0, i, i + 1).contiguous());
    pictures.slice(0, i, i + 1).copy_(images_to_bytes(image));
  });
  return pictures;
}

/// What is called before every scale. Where images are drawn one by one their scales are counted together.
std::function<void(int64_t)> before_scale(const Models& models, const SamplingOptions& sampling,
                                          const DrawRequest& request) {
  struct Count {
    std::mutex lock;
    int64_t begun = 0;
  };
  const auto count = std::make_shared<Count>();
  const std::vector<std::string> sides = scale_captions(models.tokenizer->pyramid());
  const auto S = static_cast<int64_t>(sides.size()), images = static_cast<int64_t>(request.labels.size());
  const bool together = !sampling.reproducible || images == 1;
  return [=, &request](int64_t s) {
    const std::lock_guard<std::mutex> guard(count->lock);
    if (request.poll) { request.poll(); }
    if (request.progress == nullptr) { return; }
    ++count->begun;
    request.progress->doing(together ? cat("scale ", s + 1, " of ", S, " (", sides[static_cast<size_t>(s)], ")")
                                     : cat("scale ", count->begun, " of ", S * images));
  };
}

Drawn draw_images(const Models& models, const SamplingOptions& sampling, const DrawRequest& request) {
  SampleOptions values = sampling.values;
  values.smoothing = sampling.more_smooth ? Smoothing::kOn : Smoothing::kOff;
  const Tensor labels = Tensor::from(request.labels, {static_cast<int64_t>(request.labels.size())});
  const SampleExtras extras{
      .poll = before_scale(models, sampling, request), .given = request.given, .f_hats = request.f_hats};
  Drawn drawn;
  Sampled sampled;
  drawn.token_seconds = seconds_of([&] {
    sampled = sampling.reproducible
                  ? sample_reproducibly(*models.transformer, models.tokenizer->quantizer(), labels, request.seeds,
                                        values, extras)
                  : models.sampler(values, sampling.graphs ? Sampler::Graphs::kYes : Sampler::Graphs::kNo)(
                        labels, request.seeds, extras);
  });
  if (request.progress != nullptr) { request.progress->doing("decoding"); }
  drawn.decode_seconds = seconds_of([&] { drawn.images = decode_pictures(models, sampling, sampled.f_hat); });
  for (const Tensor& f_hat : sampled.f_hats) { drawn.scales.push_back(decode_pictures(models, sampling, f_hat)); }
  return drawn;
}

// --- Names ---

std::string file_stem(std::string name) {
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_') { c = '_'; }
  }
  return name;
}

std::string padded_number(int64_t number) {
  const std::string digits = std::to_string(number);
  return std::string(digits.size() < 4 ? 4 - digits.size() : 0, '0') + digits;
}

std::vector<std::string> scale_captions(const Pyramid& pyramid) {
  std::vector<std::string> captions;
  for (const int64_t p : pyramid.patch_nums()) { captions.push_back(cat(p, "x", p)); }
  return captions;
}

}  // namespace terrace
