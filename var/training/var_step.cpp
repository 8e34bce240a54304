// The transformer's training step: forward and backward of the micro-batches, the optimizer, what is recorded of them.
#include <chrono>
#include <cmath>

#include "autograd/functions.h"
#include "nn/mode_scope.h"
#include "tensor/device/allocator.h"
#include "tensor/device/interruption.h"
#include "tensor/generator_scope.h"
#include "tensor/pointwise.h"
#include "tensor/random_streams.h"
#include "tensor/reduce.h"
#include "var/training/var_trainer.h"

namespace terrace {

/// Where the draws of the step under way begin. They depend on (seed, step) alone, so a resumed run needs no state of a
/// generator but these two numbers.
Generator VarTrainer::draws() const { return Generator(options_.seed, streams::kTransformerStep + step_); }

void VarTrainer::load_batch(const std::vector<int64_t>& rows) {
  StepBuffers& b = buffers_;
  b.host_indices = take_rows(data_.indices, rows);
  const Tensor labels = take_rows(data_.labels, rows);
  const Device device = model_.device();
  if (!b.indices.defined()) {
    const VarConfig& config = model_.config();
    const int64_t B = options_.batch, L = config.length(), first = model_.pyramid().tokens(0);
    b.indices = Tensor::empty({B, L}, DType::kI64, device);
    b.labels = Tensor::empty({B}, DType::kI64, device);
    b.input = Tensor::empty({B, L - first, config.Cvae}, DType::kF32, device);
    b.key = Tensor::empty({2}, DType::kI64, device);
  }
  b.indices.copy_(b.host_indices);
  b.labels.copy_(labels);
  for (const auto& [index, begin, end] : micro_batches_) {
    b.input.slice(0, begin, end).copy_(data_.quantizer->indices_to_var_input(b.host_indices.slice(0, begin, end)));
  }
  const std::vector<int64_t> key{static_cast<int64_t>(draws().seed), static_cast<int64_t>(draws().stream)};
  b.key.copy_(Tensor::from(key, {2}));
}

/// The loss of each token, and their mean, which with a graph can be differentiated.
Variable VarTrainer::forward_loss(const Tensor& indices, const Tensor& labels, const Tensor& input, double smoothing,
                                  Detail detail, TokenLosses& tokens) {
  const Variable logits = model_.forward(labels, Variable(input), options_.recompute);
  const Variable token_loss = cross_entropy(logits, indices, smoothing);
  tokens.loss = token_loss.value();
  if (detail == Detail::kAll) { tokens.predicted = argmax(logits.value(), -1); }
  return mean(token_loss);
}

/// Launches forward and backward of this process's micro-batches; gradients add up in the parameters, those of all
/// ranks.
std::vector<TokenLosses> VarTrainer::launch_micro_batches(Detail detail) {
  const StepBuffers& b = buffers_;
  std::vector<TokenLosses> all;
  for (const MicroBatch& m : micro_batches_) {
    default_generator().offset = m.first_draw();
    const double weight = static_cast<double>(m.size()) / static_cast<double>(options_.batch);
    const Variable loss =
        forward_loss(b.indices.slice(0, m.begin, m.end), b.labels.slice(0, m.begin, m.end),
                     b.input.slice(0, m.begin, m.end), options_.label_smoothing, detail, all.emplace_back());
    scale(loss, weight).backward();
  }
  add_gradients_of_ranks();
  return all;
}

void VarTrainer::add_gradients_of_ranks() {
  if (ranks_ == nullptr) { return; }
  std::vector<Tensor> gradients;
  for (const auto& [name, parameter] : model_.named_parameters()) {
    if (parameter.grad().defined()) { gradients.push_back(parameter.grad()); }
  }
  if (position_gradient_.defined()) { gradients.push_back(position_gradient_); }
  ranks_->sum(gradients);
}

/// Whether the step is recorded; records it once a step has run by launches.
bool VarTrainer::is_recorded() {
  if (!options_.graphs) { return false; }
  const UninterruptedScope whole;  // a recording takes as long as the launches alone
  const auto launch = [&] {
    const DrawKey key(buffers_.key);
    recorded_tokens_ = launch_micro_batches(Detail::kLoss);
    optimizer_.launch_clipped(options_.clip);
    model_.zero_grad();
  };
  const auto undo = [&] {
    model_.zero_grad();
    default_generator() = draws();
  };
  return recorded_step_.record_once(launch, undo);
}

/// The step's launches, or their replay.
std::vector<TokenLosses> VarTrainer::run_step(Detail detail, VarStepRecord& record) {
  if (detail == Detail::kLoss && is_recorded()) {
    optimizer_.schedule(record.lr, record.weight_decay);
    recorded_step_.replay();
    return recorded_tokens_;
  }
  position_gradient_ = Tensor();
  if (detail == Detail::kAll) {
    model_.observe_position_gradient([this](const Tensor& gradient) {
      if (position_gradient_.defined()) {
        add_(position_gradient_, gradient);
      } else {
        position_gradient_ = gradient.clone();
      }
    });
  }
  std::vector<TokenLosses> tokens = launch_micro_batches(detail);
  const UninterruptedScope update;
  model_.observe_position_gradient({});
  if (detail == Detail::kAll) { observe_tables(record); }
  optimizer_.clipped_step(record.lr, record.weight_decay, options_.clip);
  model_.zero_grad();
  recorded_step_.note_launched();
  return tokens;
}

/// Loss and accuracy over the tokens of the step, of all ranks.
void VarTrainer::measure(const std::vector<TokenLosses>& tokens, Detail detail, VarStepRecord& record) {
  const Pyramid& pyramid = model_.pyramid();
  ScaleStatistics statistics(pyramid.scales());
  for (size_t i = 0; i < micro_batches_.size(); ++i) {
    const MicroBatch& m = micro_batches_[i];
    // Sums of a micro-batch are made for themselves first, so that they do not depend on the rank that computes it.
    ScaleStatistics of_micro_batch(pyramid.scales());
    of_micro_batch.add(pyramid, tokens[i], buffers_.host_indices.slice(0, m.begin, m.end));
    statistics.add(of_micro_batch);
  }
  if (ranks_ != nullptr) { statistics.add_ranks(*ranks_, model_.device()); }
  const HeldOut means = statistics.means();
  record.loss = means.loss;
  record.scale_loss = means.scale_loss;
  if (detail == Detail::kAll) {
    record.accuracy = means.accuracy;
    record.scale_accuracy = means.scale_accuracy;
  }
}

VarStepRecord VarTrainer::step(Detail detail) {
  using Clock = std::chrono::steady_clock;
  const auto started = Clock::now();
  const ModeScope mode(model_, Mode::kTrain);
  const ComputeWith precision(copies_);
  const GeneratorScope generator(draws());
  const MemoryArena::Scope memory(recorded_step_.arena());
  load_batch(order_.batch_rows(step_));
  VarStepRecord record;
  record.lr = schedule_.lr(step_);
  record.weight_decay = schedule_.wd(step_);
  measure(run_step(detail, record), detail, record);
  record.gradient_norm = optimizer_.gradient_norm();
  if (!std::isfinite(record.gradient_norm)) {
    throw AutogradError(cat("VAR training: the gradient is not finite at step ", step_ + 1, " (loss ", record.loss,
                            "); a smaller lr than ", options_.lr, " may help"));
  }
  ++step_;
  record.step = step_;
  record.epoch = static_cast<double>(step_ * options_.batch) / static_cast<double>(data_.labels.numel());
  record.seconds_per_step = std::chrono::duration<double>(Clock::now() - started).count();
  record.peak_bytes = memory_stats(model_.device()).peak;
  return record;
}

void VarTrainer::observe_tables(VarStepRecord& record) const {
  const auto norm = [](const Variable& p) { return p.grad().defined() ? std::sqrt(squared_norm(p.grad())) : 0; };
  record.start_gradient = norm(model_.pos_start);
  if (model_.lvl_embed) { record.level_gradient = norm(model_.lvl_embed->weight); }
  if (!position_gradient_.defined()) { return; }
  const Pyramid& pyramid = model_.pyramid();
  const int64_t C = model_.config().embed_dim;
  const Tensor gradient = position_gradient_.to(kCpu).contiguous();
  const float* g = gradient.data<float>();
  for (int64_t s = 0; s < pyramid.scales(); ++s) {
    double scale_square = 0;
    for (int64_t t = pyramid.begin(s); t < pyramid.end(s); ++t) {
      double square = 0;
      for (int64_t c = 0; c < C; ++c) { square += static_cast<double>(g[t * C + c]) * g[t * C + c]; }
      record.position_gradient.push_back(std::sqrt(square));
      scale_square += square;
    }
    record.scale_gradient.push_back(std::sqrt(scale_square));
  }
}

}  // namespace terrace
