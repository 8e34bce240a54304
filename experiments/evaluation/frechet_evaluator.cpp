#include "experiments/evaluation/frechet_evaluator.h"
#include "var/content_hash.h"

#include <algorithm>
#include <cmath>

#include "data/datasets/subset.h"
#include "data/images/pixels.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/evaluation/inception_features.h"
#include "metrics/inception/resize.h"
#include "metrics/inception/weights.h"
#include "var/tokenizer/token_cache.h"

namespace terrace {
namespace {

constexpr int64_t kBatch = 32;

CollectOptions collecting() {
  CollectOptions options{.batch = kBatch};
  options.progress = [](int64_t, int64_t) { check_interrupt(); };
  return options;
}

/// (B, C, h, w) to (B, 2 C): means, then deviations.
Tensor map_statistics(const Tensor& maps) {
  const int64_t B = maps.dim(0), C = maps.dim(1), positions = maps.dim(2) * maps.dim(3);
  const Tensor source = maps.contiguous();
  Tensor result = Tensor::empty({B, 2 * C});
  const float* p = source.data<float>();
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t c = 0; c < C; ++c, p += positions) {
      double sum = 0, squares = 0;
      for (int64_t i = 0; i < positions; ++i) { sum += static_cast<double>(p[i]); }
      const double mean = sum / static_cast<double>(positions);
      for (int64_t i = 0; i < positions; ++i) { squares += (p[i] - mean) * (p[i] - mean); }
      result.data<float>()[b * 2 * C + c] = static_cast<float>(mean);
      result.data<float>()[b * 2 * C + C + c] = static_cast<float>(std::sqrt(squares / static_cast<double>(positions)));
    }
  }
  return result;
}

}  // namespace

FrechetEvaluator::FrechetEvaluator(std::string name, std::string about, FeatureNetwork network, const Tensor& reference,
                                   const ReferenceCache& cache)
    : name_(std::move(name)), about_(std::move(about)), network_(std::move(network)) {
  const Collected collected = collect_cached(*image_source_of(reference), network_, collecting(), cache);
  count_ = collected.count;
  reference_ = std::make_unique<FrechetReference>(collected.statistics.features);
}

double FrechetEvaluator::distance(const Tensor& images) const {
  return reference_->distance(collect(*image_source_of(images), network_, collecting()).statistics.features);
}

FeatureNetwork tokenizer_features(const Vqvae& tokenizer) {
  const Vqvae* model = &tokenizer;
  return {.identity = cat("tokenizer ", content_hash(tokenizer), ", mean and deviation of encode()"),
          .dim = 2 * tokenizer.config().z_channels,
          .prepare = [](const Tensor& image) { return images_to_float(image.unsqueeze(0)).select(0, 0); },
          .run =
              [model](const Tensor& batch) {
                const NoGrad no_grad;
                const Tensor maps = model->encode(Variable(batch.to(model->device()))).value().to(kCpu);
                return Activations{.features = map_statistics(maps), .spatial = {}, .logits = {}};
              }};
}

std::unique_ptr<FrechetEvaluator> tokenizer_evaluator(const Vqvae& tokenizer, const Tensor& reference) {
  return std::make_unique<FrechetEvaluator>(
      "Frechet distance in the tokenizer's features",
      "mean and deviation of each channel of the tokenizer's encoder; it is no FID and compares within one tokenizer "
      "alone",
      tokenizer_features(tokenizer), reference, ReferenceCache(""));
}

void EvaluatorOptions::declare(Options& options, const std::string& images_help) {
  options.add("frechet-images", images, images_help).at_least(0);
  options.add("frechet-level", level,
              "feature dimension of Inception that the distance is of, which names the layer: 64, 192, 768 or 2048");
  options.add("inception", weights, "weights of Inception; without any the distance is in the tokenizer's features")
      .metavar("FILE")
      .input()
      .default_text("TERRACE_INCEPTION, else that of `make inception`");
}

std::unique_ptr<FrechetEvaluator> open_evaluator(const Vqvae& tokenizer, const Tensor& reference,
                                                 const EvaluatorOptions& options) {
  InceptionOptions inception{.weights = options.weights, .level = options.level};
  if (inception.weights.empty()) { inception.weights = find_inception_weights(); }
  if (inception.weights.empty()) { return tokenizer_evaluator(tokenizer, reference); }
  const InceptionFeatures features = open_inception(inception);
  return std::make_unique<FrechetEvaluator>(
      level_name("FID", options.level, features.complete),
      cat("Inception-v3 (weights ", features.weights_hash.substr(0, 8), features.complete ? "" : ", its first layers",
          ", level ", options.level, "), pytorch-fid's resize"),
      features.network, reference, ReferenceCache(ReferenceCache::default_folder()));
}

Tensor draw_images(VarTransformer& model, Vqvae& tokenizer, const std::vector<int64_t>& labels) {
  const SampleOptions options{.cfg = 1.5, .top_k = 0, .top_p = 0.95};
  const int64_t side = tokenizer.config().image_size(), count = static_cast<int64_t>(labels.size());
  Sampler sampler(model, tokenizer.quantizer(), options);
  Tensor images = Tensor::empty({count, side, side, 3}, DType::kU8);
  for (int64_t begin = 0; begin < count; begin += kBatch) {
    check_interrupt();
    const int64_t end = std::min(count, begin + kBatch);
    std::vector<uint64_t> seeds;
    for (int64_t i = begin; i < end; ++i) { seeds.push_back(static_cast<uint64_t>(i)); }
    const Tensor batch =
        Tensor::from(std::vector<int64_t>(labels.begin() + begin, labels.begin() + end), {end - begin});
    const Sampled drawn = sampler(batch, seeds);
    images.slice(0, begin, end).copy_(images_to_bytes(tokenizer.f_hat_to_images(drawn.f_hat)));
  }
  return images;
}

SampleEvaluator::SampleEvaluator(Vqvae& tokenizer, const ImageDataset& dataset, const EvaluatorOptions& options)
    : tokenizer_(tokenizer), images_(std::min(options.images, dataset.size())) {
  if (images_ < 2) { throw ConfigError(cat("a Frechet distance needs two images or more, got ", images_)); }
  const Tensor reference = dataset.images(part_of(dataset.size(), images_));
  evaluator_ = open_evaluator(tokenizer, reference, options);
  Tensor again = Tensor::empty(reference.shape(), DType::kU8);
  for (int64_t begin = 0; begin < images_; begin += kBatch) {
    check_interrupt();
    const int64_t end = std::min(images_, begin + kBatch);
    const Tensor batch = images_to_float(reference.slice(0, begin, end).contiguous());
    again.slice(0, begin, end).copy_(images_to_bytes(tokenizer.reconstruct(batch)));
  }
  of_reconstructions_ = evaluator_->distance(again);
}

double SampleEvaluator::distance(VarTransformer& model) const {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < images_; ++i) { labels.push_back(i % model.config().num_classes); }
  return evaluator_->distance(draw_images(model, tokenizer_, labels));
}

std::string SampleEvaluator::line(double distance) const {
  return cat(evaluator_->name(), ": ", format_number(distance), " of ", images_, " samples, ",
             format_number(of_reconstructions_), " of reconstructions, to ", images_, " images");
}

}  // namespace terrace
