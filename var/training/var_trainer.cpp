#include "var/training/var_trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "autograd/functions.h"
#include "data/datasets/subset.h"
#include "nn/mode_scope.h"

namespace terrace {
namespace {

/// Throws unless these are tokens that the model knows.
void check_tokens(const VarConfig& config, const Tensor& indices, const Tensor& labels, const char* which) {
  check_dtype(indices, DType::kI64, "VAR training", which);
  check_dtype(labels, DType::kI64, "VAR training", which);
  check_shape(indices, {labels.numel(), config.length()}, "VAR training", which);
  if (labels.numel() == 0) { throw ShapeError(cat("VAR training: no ", which)); }
  const auto check_range = [&](const Tensor& values, int64_t bound, const char* what) {
    for (const int64_t v : values.to_vector<int64_t>()) {
      if (v < 0 || v >= bound) {
        throw IndexError(
            cat("VAR training: ", which, " have the ", what, " ", v, "; the model knows [0, ", bound, ")"));
      }
    }
  };
  check_range(indices, config.vocab_size, "index");
  check_range(labels, config.num_classes, "class");
}

void check_data(const VarConfig& config, const VarTrainingData& data) {
  if (data.quantizer == nullptr) { throw ConfigError("VAR training: the data needs the quantizer of its indices"); }
  check_tokens(config, data.indices, data.labels, "training tokens");
  if (data.held_out_indices.defined()) {
    check_tokens(config, data.held_out_indices, data.held_out_labels, "held-out tokens");
  }
}

/// `data`, where it, the options, the model and the ranks fit each other.
const VarTrainingData& checked(const VarTrainingData& data, const VarTrainOptions& options, const VarConfig& config,
                               const Communicator* ranks) {
  check_options(options);
  check_data(config, data);
  if (ranks != nullptr && options.accumulate % ranks->size() != 0) {
    throw ConfigError(
        cat("VAR training: accumulate must be a multiple of the ", ranks->size(), " ranks, got ", options.accumulate));
  }
  return data;
}

}  // namespace

VarTrainer::VarTrainer(VarTransformer& model, const VarTrainingData& data, const VarTrainOptions& options,
                       VarTrainCallbacks callbacks, Communicator* ranks)
    : model_(model),
      data_(checked(data, options, model.config(), ranks)),
      options_(options),
      callbacks_(std::move(callbacks)),
      optimizer_(decay_groups(model.named_parameters(), model.no_decay_names()),
                 {.beta1 = options.beta1, .beta2 = options.beta2}),
      schedule_(schedule_options(options)),
      order_(data.labels.numel(), options.batch, options.seed),
      ranks_(ranks),
      micro_batches_(micro_batches(options.batch, options.accumulate, ranks)),
      recorded_step_(model.device()) {
  if (options.dtype == DType::kBF16) { copies_ = ComputeCopies(model.compute_in_bf16()); }
  optimizer_.write_copies(copies_);
  for (const auto& [name, table] : position_tables()) { initial_tables_[name] = table.to(kCpu).clone(); }
}

State VarTrainer::position_tables() const {
  State found = model_.positions().state();
  found["pos_start"] = model_.pos_start.value();
  if (model_.lvl_embed) { found["lvl_embed.weight"] = model_.lvl_embed->weight.value(); }
  return found;
}

HeldOut VarTrainer::evaluate(HeldOutPart part) {
  if (!data_.held_out_indices.defined()) {
    throw ConfigError("VAR training: evaluate() needs held-out tokens, none were given");
  }
  const NoGrad no_grad;
  const ModeScope mode(model_, Mode::kEval);
  const ComputeWith precision(copies_);
  const MemoryArena::Scope memory(recorded_step_.arena());
  ScaleStatistics statistics(model_.pyramid().scales());
  const std::vector<int64_t> images =
      part_of(data_.held_out_labels.numel(), part == HeldOutPart::kAll ? 0 : options_.evaluate_images);
  const auto count = static_cast<int64_t>(images.size());
  for (int64_t begin = 0; begin < count; begin += options_.batch) {
    const int64_t end = std::min(count, begin + options_.batch);
    const std::span<const int64_t> rows(images.data() + begin, static_cast<size_t>(end - begin));
    const Tensor indices = take_rows(data_.held_out_indices, rows), labels = take_rows(data_.held_out_labels, rows);
    const Device device = model_.device();
    TokenLosses tokens;
    forward_loss(indices.to(device), labels, data_.quantizer->indices_to_var_input(indices).to(device), 0, Detail::kAll,
                 tokens);
    statistics.add(model_.pyramid(), tokens, indices);
    if (callbacks_.held_out_progress) { callbacks_.held_out_progress(step_, end, count); }
  }
  HeldOut means = statistics.means();
  means.images = count;
  return means;
}

void VarTrainer::measure_held_out(HeldOutPart part, VarStepRecord& record) {
  const HeldOut held_out = evaluate(part);
  record.held_out_images = held_out.images;
  record.held_out_loss = held_out.loss;
  record.held_out_accuracy = held_out.accuracy;
  record.held_out_scale_loss = held_out.scale_loss;
}

/// The evaluation after the step of `record`, which is left as it is where that throws.
void VarTrainer::evaluate_step(VarStepRecord& record) {
  VarStepRecord evaluated = record;
  if (data_.held_out_indices.defined()) {
    measure_held_out(step_ == options_.steps ? HeldOutPart::kAll : HeldOutPart::kSome, evaluated);
  }
  if (callbacks_.evaluate) { callbacks_.evaluate(evaluated, model_); }
  record = std::move(evaluated);
}

void VarTrainer::make_up_evaluation() {
  if (!evaluation_due_ || log_.empty()) { return; }
  evaluate_step(log_.back());
  evaluation_due_ = false;
  if (callbacks_.record) { callbacks_.record(log_.back()); }
  save_checkpoint();
}

/// What the plan says, on every rank.
int64_t VarTrainer::planned_steps() {
  if (!options_.planned) { return options_.steps; }
  int64_t steps = callbacks_.plan ? callbacks_.plan(step_) : 0;
  if (ranks_ != nullptr) {
    const Tensor of_first = Tensor::full({1}, static_cast<double>(ranks_->rank() == 0 ? steps : 0), DType::kF64);
    const Tensor everywhere = of_first.to(model_.device());
    ranks_->sum({everywhere});
    steps = std::llround(everywhere.item<double>());
  }
  return steps;
}

void VarTrainer::set_steps(int64_t steps) {
  if (steps == options_.steps) { return; }
  options_.steps = steps;
  schedule_ = Schedule(schedule_options(options_));
}

void VarTrainer::run() {
  using Clock = std::chrono::steady_clock;
  make_up_evaluation();
  auto since = Clock::now();
  int64_t steps_since = 0;
  while (step_ < options_.steps) {
    const int64_t steps = planned_steps();
    if (steps <= step_) { return save_checkpoint(); }
    set_steps(steps);
    const int64_t next = step_ + 1;
    const bool last = next == options_.steps;
    const bool evaluation = due(next, options_.evaluate_every) || last;
    const bool recorded = next == 1 || due(next, options_.log_every) || evaluation;
    VarStepRecord record = save_if_interrupted([&] { return step(recorded ? Detail::kAll : Detail::kLoss); },
                                               [&] {
                                                 if (step_ > 0) { save_checkpoint(); }
                                               });
    ++steps_since;
    if (recorded) {
      record.seconds_per_step =
          std::chrono::duration<double>(Clock::now() - since).count() / static_cast<double>(steps_since);
      const auto keep = [&] {
        log_.push_back(record);
        if (callbacks_.record) { callbacks_.record(record); }
      };
      if (evaluation) {
        save_if_thrown([&] { evaluate_step(record); }, [&] { keep(), evaluation_due_ = true, save_checkpoint(); });
      }
      keep();
      since = Clock::now();
      steps_since = 0;
    }
    if (due(step_, options_.checkpoint_every) || last) { save_checkpoint(); }
    if (callbacks_.progress) {
      save_if_thrown([&] { callbacks_.progress(step_, options_.steps, record.loss); }, [&] { save_checkpoint(); });
    }
  }
}

void VarTrainer::save_checkpoint() const {
  if (options_.checkpoint_path.empty() || (ranks_ != nullptr && ranks_->rank() != 0)) { return; }
  if (callbacks_.before_checkpoint) { callbacks_.before_checkpoint(); }
  save(options_.checkpoint_path);
}

}  // namespace terrace
