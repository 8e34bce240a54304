// The study's tokenizer: trained or loaded, described, and used once to turn the images into tokens.
#include <cmath>
#include <filesystem>

#include "data/datasets/subset.h"
#include "data/files/atomic_file.h"
#include "data/images/pixels.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "experiments/study/stages.h"
#include "experiments/study/study.h"
#include "tensor/random_streams.h"
#include "var/weights/load.h"

namespace terrace {
namespace {

constexpr int64_t kShownReconstructions = 24;

double sum_of_squares(const Tensor& a, const Tensor& b) {
  const float *x = a.data<float>(), *y = b.data<float>();
  double total = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double d = static_cast<double>(x[i]) - y[i];
    total += d * d;
  }
  return total;
}

/// Per scale: share of the codebook in use, and the perplexity exp(entropy) of the codes.
void describe_codes(const TokenSet& tokens, StudyTokenizer& result) {
  const Pyramid pyramid(tokens.patch_nums);
  const auto* index = tokens.indices.data<int64_t>();
  const int64_t N = tokens.size(), L = pyramid.length();
  std::vector<char> any(static_cast<size_t>(tokens.vocab_size), 0);
  result.usage.clear();
  result.perplexity.clear();
  for (int64_t s = 0; s < pyramid.scales(); ++s) {
    std::vector<int64_t> hits(static_cast<size_t>(tokens.vocab_size), 0);
    for (int64_t n = 0; n < N; ++n) {
      for (int64_t t = pyramid.begin(s); t < pyramid.end(s); ++t) { ++hits[static_cast<size_t>(index[n * L + t])]; }
    }
    double entropy = 0, used = 0;
    const auto total = static_cast<double>(N * pyramid.tokens(s));
    for (size_t v = 0; v < hits.size(); ++v) {
      if (hits[v] == 0) { continue; }
      const double p = static_cast<double>(hits[v]) / total;
      entropy -= p * std::log(p);
      ++used;
      any[v] = 1;
    }
    result.usage.push_back(used / static_cast<double>(tokens.vocab_size));
    result.perplexity.push_back(std::exp(entropy));
  }
  result.codes_used = static_cast<double>(std::count(any.begin(), any.end(), 1)) / static_cast<double>(any.size());
}

}  // namespace

void Study::prepare_tokenizer() {
  const std::string result = path("tokenizer_result.h5");
  if (!config_.tokenizer.empty()) {
    tokenizer_ = load_vqvae(config_.tokenizer);
  } else if (std::filesystem::exists(result)) {
    tokenizer_ = load_vqvae(path("tokenizer.h5"));
  } else {
    train_tokenizer();
  }
  tokenizer_->to(device_);
  tokenizer_->eval();
  const int64_t size = tokenizer_->config().image_size();
  if (train_->height() != size || train_->width() != size) {
    throw ConfigError(cat(train_->path(), ": images are ", train_->height(), "x", train_->width(),
                          ", the tokenizer takes ", size, "x", size, " (the last of patch-nums times 2^(levels - 1))"));
  }
}

void Study::train_tokenizer() {
  plan_tokenizer();
  const int64_t steps = config_.tokenizer_steps;
  Generator g(config_.common.seed, streams::kStudyWeights);
  Vqvae model(config_.tokenizer_config(), g);
  model.to(device_);
  VqvaeTrainOptions training = config_.tokenizer_training(steps);
  training.checkpoint_path = path("tokenizer.h5");
  Progress progress("tokenizer", steps);
  double psnr = 0;
  StageCostFile costs(path("tokenizer_costs.json"), start_);
  earlier_tokenizer_seconds_ = earlier_seconds_ = costs.earlier();
  VqvaeTrainCallbacks callbacks;
  callbacks.record = [&](const VqvaeStepRecord& r) {
    psnr = r.psnr;
    costs.add(r.step, r.seconds_per_step, 0);
  };
  callbacks.progress = [&](int64_t done, int64_t, double loss) {
    check_interrupt();
    progress.update(done, {{"loss", loss}, {"psnr", psnr}});
  };
  VqvaeTrainer trainer(model, *train_, &*held_out_, training, callbacks);
  run_from_checkpoint(trainer, training.checkpoint_path, costs, progress);
  progress.finish();
  std::vector<double> seconds;
  for (const auto& [step, cost] : costs.costs().records) { seconds.push_back(cost.first); }
  for (const VqvaeStepRecord& r : trainer.log()) {
    tokenizer_result_.log_step.push_back(static_cast<double>(r.step));
    tokenizer_result_.log_loss.push_back(r.loss);
    tokenizer_result_.log_psnr.push_back(r.psnr);
  }
  tokenizer_result_.steps = steps;
  tokenizer_result_.seconds_per_step = median(seconds);
  tokenizer_result_.step_seconds = seconds_of_steps(costs.costs());
  tokenizer_ = load_vqvae(training.checkpoint_path);
}

TokenSet Study::tokens_of(const ImageDataset& dataset, int64_t limit, const char* name) {
  std::unique_ptr<Progress> progress;  // only where there is something to do
  const StudyClock::time_point start = StudyClock::now();
  TokenSet tokens =
      cached_tokens(path(cat("tokens_", name, ".h5")), *tokenizer_, dataset, limit, [&](int64_t done, int64_t total) {
        check_interrupt();
        if (!progress) { progress = std::make_unique<Progress>(cat("encode ", name), total, "images"); }
        progress->update(done);
      });
  if (progress) {
    progress->finish();
    tokenizer_result_.encoded_per_second = static_cast<double>(tokens.size()) / seconds_since(start);
  }
  return tokens;
}

void Study::prepare_tokens() {
  plan_token_counts();
  train_tokens_ = tokens_of(*train_, config_.train_images, "train");
  held_out_tokens_ = tokens_of(*held_out_, config_.held_out_images, "held_out");
  const std::string file = path("tokenizer_result.h5");
  if (std::filesystem::exists(file)) {
    tokenizer_result_ = read_tokenizer_result(file);
    earlier_seconds_ = tokenizer_result_.origin.seconds;
    require_same_origin(tokenizer_result_.origin, file);
    return;
  }
  describe_tokenizer();
  tokenizer_result_.origin = origin(earlier_tokenizer_seconds_ + seconds_since(start_));
  write_tokenizer_result(file, tokenizer_result_);
}

void Study::describe_tokenizer() {
  StudyTokenizer& result = tokenizer_result_;
  result.parameters = tokenizer_->parameter_count();
  describe_codes(train_tokens_, result);
  const int64_t count = held_out_tokens_.size();
  // The images that the tokens were made from, in their order.
  const Tensor images = held_out_->images(part_of(held_out_->size(), config_.held_out_images));
  Tensor again = Tensor::empty(images.shape(), DType::kU8);
  double squares = 0;
  Progress progress("reconstruct", count, "images");
  for (int64_t begin = 0; begin < count; begin += kStudyBatch) {
    check_interrupt();
    const int64_t end = std::min(begin + kStudyBatch, count);
    const Tensor batch = images_to_float(images.slice(0, begin, end).contiguous());
    const Tensor made = tokenizer_->indices_to_images(held_out_tokens_.indices.slice(0, begin, end).contiguous());
    squares += sum_of_squares(batch, made.contiguous());
    again.slice(0, begin, end).copy_(images_to_bytes(made));
    progress.update(end);
  }
  progress.finish();
  result.psnr = psnr_from_mse(squares / static_cast<double>(images.numel()));
  const int64_t shown = std::min(kShownReconstructions, count);
  result.originals = images.slice(0, 0, shown).clone();
  result.reconstructions = again.slice(0, 0, shown).clone();
  result.distance = distance_of(again);
  if (evaluator_) {
    result.distance_name = evaluator_->name();
    result.distance_about = evaluator_->about();
    result.distance_images = evaluator_->reference_images();
  }
  if (!is_procedural(*held_out_)) { return; }
  result.real_share = own_class_share(images, held_out_tokens_.labels);
  result.reconstructed_share = own_class_share(again, held_out_tokens_.labels);
}

double Study::distance_of(const Tensor& images) {
  const int64_t count = std::min(images.dim(0), config_.evaluator.images);
  if (std::min({count, held_out_->size(), held_out_tokens_.size()}) < 2) { return kNotMeasured; }
  if (!evaluator_) {
    const int64_t reference = std::min(held_out_tokens_.size(), config_.evaluator.images);
    const std::vector<int64_t> held_out = part_of(held_out_->size(), config_.held_out_images);
    std::vector<int64_t> rows;
    for (const int64_t i : part_of(held_out_tokens_.size(), reference)) {
      rows.push_back(held_out[static_cast<size_t>(i)]);
    }
    evaluator_ = open_evaluator(*tokenizer_, held_out_->images(rows), config_.evaluator);
  }
  Tensor some = images;
  if (count < images.dim(0)) {
    some = Tensor::empty({count, images.dim(1), images.dim(2), 3}, DType::kU8);
    const std::vector<int64_t> rows = part_of(images.dim(0), count);
    for (int64_t i = 0; i < count; ++i) { some.select(0, i).copy_(images.select(0, rows[static_cast<size_t>(i)])); }
  }
  double distance = 0;
  const double seconds = seconds_of([&] { distance = evaluator_->distance(some); });
  distance_seconds_ = seconds / static_cast<double>(count);
  return distance;
}

}  // namespace terrace
