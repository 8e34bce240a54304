#include "var/training/vqvae_trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>
#include <optional>

#include "autograd/functions.h"
#include "data/datasets/loader.h"
#include "data/datasets/subset.h"
#include "data/images/pixels.h"
#include "nn/ema.h"
#include "nn/mode_scope.h"
#include "nn/optim.h"
#include "tensor/device/allocator.h"
#include "tensor/device/interruption.h"
#include "tensor/generator_scope.h"
#include "tensor/pointwise.h"
#include "tensor/random_streams.h"
#include "tensor/reduce.h"
#include "var/tokenizer/codebook.h"
#include "var/training/option_json.h"
#include "var/training/vqvae_train_state.h"

namespace terrace {
namespace {

constexpr const char* kCodesName = "quantize.embedding.weight";

// Mean absolute difference of neighbouring pixels' differences, along rows and columns.
Variable edge_loss(const Variable& error) {
  const int64_t H = error.dim(2), W = error.dim(3);
  const Variable across = sub(slice(error, 3, 1, W), slice(error, 3, 0, W - 1));
  const Variable down = sub(slice(error, 2, 1, H), slice(error, 2, 0, H - 1));
  return add(mean(abs(across)), mean(abs(down)));
}

/// What would make a tokenizer for square images of that side; "" where there is no simple answer.
std::string sizes_for(const VqvaeConfig& config, int64_t side) {
  std::string text;
  if (side % config.downsample() == 0) { text = cat("patch_nums that end with ", side / config.downsample()); }
  const int64_t last = config.patch_nums.back();
  for (int64_t levels = 1; levels <= 12; ++levels) {
    if (last << (levels - 1) != side) { continue; }
    text += cat(text.empty() ? "" : ", or ", "ch_mult of ", levels, levels == 1 ? " level" : " levels");
  }
  return text.empty() ? "" : cat("; for ", side, "x", side, " give ", text);
}

void check_images(const VqvaeConfig& config, const ImageDataset& dataset) {
  const int64_t height = dataset.height(), width = dataset.width();
  if (config.in_channels == 3 && height == config.image_size() && width == config.image_size()) { return; }
  throw ConfigError(cat(dataset.path(), ": images of ", height, "x", width, "; the tokenizer is for ",
                        config.image_size(), "x", config.image_size(), " (the last of patch_nums times ",
                        config.downsample(), ")", height == width ? sizes_for(config, height) : ""));
}

LoaderOptions loader_options(const VqvaeTrainOptions& o, int64_t position, int64_t steps_per_epoch) {
  LoaderOptions l;
  l.batch = o.batch;
  l.seed = o.seed;
  l.epoch = position / steps_per_epoch;
  l.step = position % steps_per_epoch;
  l.workers = o.workers;
  return l;
}

}  // namespace

double learning_rate(const VqvaeTrainOptions& o, int64_t step) {
  if (step < o.warmup) { return o.lr * static_cast<double>(step + 1) / static_cast<double>(o.warmup); }
  const double rest = static_cast<double>(std::max<int64_t>(o.steps - 1 - o.warmup, 1));
  const double x = std::min(1.0, static_cast<double>(step - o.warmup) / rest);
  return o.lr * (o.final_lr + (1 - o.final_lr) * 0.5 * (1 + std::cos(std::numbers::pi * x)));
}

VqvaeTrainer::State::State(Vqvae& model_, const ImageDataset& train_, const ImageDataset* held_out_,
                           const VqvaeTrainOptions& options_, VqvaeTrainCallbacks callbacks_)
    : model(model_),
      train(train_),
      options(options_),
      callbacks(std::move(callbacks_)),
      parameters(model.named_parameters()),
      optimizer(decay_groups(parameters, {"embedding.weight"}), {options.beta1, options.beta2}),
      clock(model.config().vocab_size) {
  if (held_out_ != nullptr) { held_out = *held_out_; }
  if (options.ema_decay > 0) { ema.emplace(parameters, options.ema_decay); }
}

VqvaeTrainer::VqvaeTrainer(Vqvae& model, const ImageDataset& train, const ImageDataset* held_out,
                           const VqvaeTrainOptions& options, VqvaeTrainCallbacks callbacks) {
  check_rules(kVqvaeTrainFields, options, "", ": ");
  check_images(model.config(), train);
  if (held_out != nullptr) { check_images(model.config(), *held_out); }
  if (train.size() < options.batch) {
    throw ConfigError(cat("batch: ", options.batch, " is more than the ", train.size(), " images of ", train.path()));
  }
  state_ = std::make_unique<State>(model, train, held_out, options, std::move(callbacks));
}

VqvaeTrainer::~VqvaeTrainer() = default;

int64_t VqvaeTrainer::steps_done() const { return state_->step; }
const std::vector<VqvaeStepRecord>& VqvaeTrainer::log() const { return state_->log; }
const std::vector<VqvaeEvaluation>& VqvaeTrainer::evaluations() const { return state_->evaluations; }

// --- Codebook ---

// K-means over the residuals of the first batches, as many rows of every scale.
void VqvaeTrainer::State::start_codes() {
  if (options.init_iterations <= 0 || options.keep_codes) { return; }
  const int64_t V = model.config().vocab_size, S = model.pyramid().scales();
  const int64_t rows_per_scale = std::max<int64_t>(1, 16 * V / S);
  Generator g(options.seed, streams::kCodebookStart + 0);
  Loader batches(train, loader_options(options, 0, train.size() / options.batch));
  std::vector<std::vector<Tensor>> rows(static_cast<size_t>(S));
  NoGrad no_grad;
  const ModeScope mode(model, Mode::kEval);  // without dropout: the residuals that the codes will have to represent
  for (int64_t images = 0; images < 256; images += options.batch) {
    const Tensor f = model.encode(Variable(batches.next().images.to(model.device()))).value();
    const std::vector<Tensor> residuals = model.quantizer().ideal_residuals(f);
    for (size_t s = 0; s < rows.size(); ++s) { rows[s].push_back(residuals[s].to(kCpu)); }
  }
  std::vector<Tensor> chosen;
  for (const std::vector<Tensor>& parts : rows) {
    std::vector<Variable> variables;
    for (const Tensor& part : parts) { variables.emplace_back(part); }
    const Tensor all = concat(variables, 0).value();
    const std::vector<int64_t> order = random_permutation(all.dim(0), g);
    g.offset += static_cast<uint64_t>(all.dim(0));
    const int64_t count = std::min(all.dim(0), rows_per_scale);
    Tensor part = Tensor::empty({count, all.dim(1)});
    for (int64_t i = 0; i < count; ++i) { part.select(0, i).copy_(all.select(0, order[static_cast<size_t>(i)])); }
    chosen.push_back(part);
  }
  std::vector<Variable> variables;
  for (const Tensor& part : chosen) { variables.emplace_back(part); }
  Tensor& codes = model.quantizer().codebook().value();
  codes.copy_(kmeans(concat(variables, 0).value(), V, options.init_iterations, g));
  if (ema) { averaged_codes().copy_(codes); }
}

Tensor VqvaeTrainer::State::averaged_codes() { return ema ? ema->state().at(kCodesName) : Tensor(); }

// On the CPU: an unused code is rare.
void VqvaeTrainer::State::reseed(const std::vector<int64_t>& codes, const Quantizer::Output& quantized, Generator& g) {
  std::vector<Tensor> residuals;
  for (const Tensor& rows : quantized.residuals) { residuals.push_back(rows.to(kCpu)); }
  Tensor& codebook = model.quantizer().codebook().value();
  Tensor moved = codebook.to(kCpu);
  reseed_codes(moved, codes, residuals, quantized.indices.to(kCpu), model.pyramid(), g);
  if (!codebook.device().is_cpu()) { codebook.copy_(moved); }
}

// Moves codes that nobody uses, their averages with them, and clears their moments, which belong to the old place.
int64_t VqvaeTrainer::State::revive_codes(const Quantizer::Output& quantized) {
  if (options.revive_after <= 0) { return 0; }
  const std::vector<int64_t> idle = clock.idle(step, options.revive_after);
  if (idle.empty()) { return 0; }
  Generator g(options.seed, streams::kCodebookRevival + step);
  reseed(idle, quantized, g);
  terrace::State moments = optimizer.state_dict();
  const Tensor averages = averaged_codes();
  for (const int64_t code : idle) {
    clock.restart(code, step);
    if (averages.defined()) { averages.select(0, code).copy_(model.quantizer().codebook().value().select(0, code)); }
    for (const char* moment : {"exp_avg.", "exp_avg_sq."}) {
      moments.at(moment + std::string(kCodesName)).select(0, code).zero_();
    }
  }
  return static_cast<int64_t>(idle.size());
}

// --- Steps ---

VqvaeStepRecord VqvaeTrainer::step() { return state_->run_step(); }

VqvaeStepRecord VqvaeTrainer::State::run_step() {
  const auto began = std::chrono::steady_clock::now();
  const int64_t per_epoch = train.size() / options.batch;
  if (!loader) { loader = std::make_unique<Loader>(train, loader_options(options, step, per_epoch)); }
  if (step == 0) { start_codes(); }
  const ModeScope mode(model, Mode::kTrain);
  const GeneratorScope generator(Generator(options.seed, streams::kTokenizerStep + step));

  const Variable images(loader->next().images.to(model.device()));
  const Vqvae::Output out = model.forward(images);
  const Variable error = sub(out.reconstruction, images);
  const Variable mse = mean(square(error));
  Variable loss = add(mse, terrace::scale(out.quantized.vq_loss, options.vq_weight));
  VqvaeStepRecord record;
  if (options.l1_weight > 0) {
    const Variable l1 = mean(abs(error));
    record.l1 = l1.item<double>();
    loss = add(loss, terrace::scale(l1, options.l1_weight));
  }
  if (options.edge_weight > 0) {
    const Variable edge = edge_loss(error);
    record.edge = edge.item<double>();
    loss = add(loss, terrace::scale(edge, options.edge_weight));
  }
  record.loss = loss.item<double>();
  if (!std::isfinite(record.loss)) {
    throw Error(cat("training the tokenizer: the loss of step ", step + 1, " is ", record.loss, "; try a lower lr"));
  }
  loss.backward();

  const UninterruptedScope update;
  record.lr = learning_rate(options, step);
  optimizer.clipped_step(record.lr, options.weight_decay, options.clip);
  record.gradient_norm = optimizer.gradient_norm();
  model.zero_grad();

  ++step;
  const Tensor hits = count_hits(out.quantized.indices, model.pyramid(), model.config().vocab_size);
  model.quantizer().record_hits(hits, step - 1);
  clock.observe(hits, step);
  record.revived = revive_codes(out.quantized);
  if (ema) { ema->update(); }

  record.step = step;
  record.mse = mse.item<double>();
  record.psnr = psnr_from_mse(record.mse);
  record.vq_loss = out.quantized.vq_loss.item<double>();
  record.seconds_per_step = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  record.peak_bytes = memory_stats(model.device()).peak;
  return record;
}

void VqvaeTrainer::State::close_record() {
  VqvaeStepRecord r = pending;
  divide_means(r, pending_steps);
  r.seconds_per_step /= static_cast<double>(timed_steps);
  r.psnr = psnr_from_mse(r.mse);
  // The official trainer counts a code as used from 8 % of an even share of the hits.
  const CodeUse use = code_use(model.quantizer().hits(), 0.08);
  r.usage = use.usage;
  r.perplexity = use.perplexity;
  r.codes_used = use.any;
  complete_record(r);
  pending = {};
  pending_steps = timed_steps = 0;
  log.push_back(r);
  if (callbacks.record) { callbacks.record(r); }
}

/// Fills in what the log of a checkpoint leaves out of a record.
void VqvaeTrainer::State::complete_record(VqvaeStepRecord& record) const {
  record.epoch = static_cast<double>(record.step * options.batch) / static_cast<double>(train.size());
  const auto evaluation = std::find_if(evaluations.rbegin(), evaluations.rend(),
                                       [&](const VqvaeEvaluation& e) { return e.step == record.step; });
  if (evaluation != evaluations.rend()) { attach(*evaluation, record); }
}

VqvaeEvaluation VqvaeTrainer::evaluate() {
  State& s = *state_;
  if (!s.held_out || s.options.evaluate_images <= 0) {
    throw ConfigError("evaluate: the trainer has no held-out images");
  }
  const ModeScope mode(s.model, Mode::kEval);
  std::optional<EmaScope> averaged;
  if (s.ema) { averaged.emplace(*s.ema); }
  VqvaeEvaluation result;
  result.step = s.step;
  const std::vector<int64_t> rows = part_of(s.held_out->size(), s.options.evaluate_images);
  result.images = static_cast<int64_t>(rows.size());
  Tensor hits = Tensor::zeros(s.model.quantizer().hits().shape());
  double squares = 0;
  constexpr int64_t kBatch = 64;
  for (int64_t begin = 0; begin < result.images; begin += kBatch) {
    const int64_t end = std::min(begin + kBatch, result.images);
    const Tensor images = images_to_float(s.held_out->images({rows.begin() + begin, rows.begin() + end}));
    const Tensor indices = s.model.images_to_indices(images);
    squares += squared_norm(sub(s.model.indices_to_images(indices), images));
    add_(hits, count_hits(indices, s.model.pyramid(), s.model.config().vocab_size));
  }
  const int64_t size = s.model.config().image_size();
  result.mse = squares / static_cast<double>(result.images * s.model.config().in_channels * size * size);
  result.psnr = psnr_from_mse(result.mse);
  const CodeUse use = code_use(hits, 0);
  result.usage = use.usage;
  result.perplexity = use.perplexity;
  result.codes_used = use.any;
  if (s.callbacks.evaluate) { s.callbacks.evaluate(result, s.model); }
  s.evaluations.push_back(result);
  return result;
}

void VqvaeTrainer::run() {
  State& s = *state_;
  const VqvaeTrainOptions& o = s.options;
  const bool evaluates = s.held_out && o.evaluate_images > 0;
  const auto save_checkpoint = [&] {
    if (o.checkpoint_path.empty()) { return; }
    if (s.callbacks.before_checkpoint) { s.callbacks.before_checkpoint(); }
    save(o.checkpoint_path);
  };
  if (s.evaluation_due && evaluates && !s.log.empty()) {
    evaluate();
    s.evaluation_due = false;
    s.complete_record(s.log.back());
    if (s.callbacks.record) { s.callbacks.record(s.log.back()); }
    save_checkpoint();
  }
  s.evaluation_due = false;
  while (s.step < o.steps) {
    const int64_t steps = s.callbacks.plan ? s.callbacks.plan(s.step) : o.steps;
    if (steps <= s.step) { return save_checkpoint(); }
    s.options.steps = steps;
    const VqvaeStepRecord one = save_if_interrupted([&] { return s.run_step(); },
                                                    [&] {
                                                      if (s.step > 0) { save_checkpoint(); }
                                                    });
    add_step(s.pending, one);
    ++s.pending_steps;
    ++s.timed_steps;
    const bool last = s.step == o.steps;
    const bool evaluation = evaluates && (due(s.step, o.evaluate_every) || last);
    if (evaluation) {
      save_if_thrown([&] { evaluate(); }, [&] { s.close_record(), s.evaluation_due = true, save_checkpoint(); });
    }
    if (due(s.step, o.log_every) || evaluation || last) { s.close_record(); }
    if (due(s.step, o.checkpoint_every) || last) { save_checkpoint(); }
    if (s.callbacks.progress) {
      save_if_thrown([&] { s.callbacks.progress(s.step, o.steps, one.loss); }, save_checkpoint);
    }
  }
}

}  // namespace terrace
