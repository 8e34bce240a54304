#include "var/training/var_trainer.h"

#include <chrono>
#include <cmath>

#include "autograd/functions.h"
#include "data/datasets/subset.h"
#include "nn/mode_scope.h"
#include "tensor/device/allocator.h"
#include "tensor/device/device_graph.h"
#include "tensor/generator_scope.h"
#include "tensor/pointwise.h"
#include "tensor/random_streams.h"
#include "tensor/reduce.h"

namespace terrace {
namespace {

using Clock = std::chrono::steady_clock;

Tensor take_rows(const Tensor& table, std::span<const int64_t> rows) {
  Shape shape = table.shape();
  shape[0] = static_cast<int64_t>(rows.size());
  Tensor taken = Tensor::empty(shape, table.dtype());
  const int64_t width = table.dim(0) == 0 ? 0 : table.numel() / table.dim(0);
  const int64_t* from = table.data<int64_t>();
  int64_t* to = taken.data<int64_t>();
  for (const int64_t row : rows) {
    std::copy_n(from + row * width, width, to);
    to += width;
  }
  return taken;
}

ScheduleOptions schedule_options(const VarTrainOptions& o) {
  return {.kind = o.schedule,
          .peak_lr = o.lr,
          .weight_decay = o.weight_decay,
          .weight_decay_end = o.weight_decay_end < 0 ? o.weight_decay : o.weight_decay_end,
          .warmup = std::llround(o.warmup_share * static_cast<double>(o.steps)),
          .iterations = o.steps,
          .start_factor = o.warmup_start,
          .end_factor = o.final_lr};
}

void check_options(const VarTrainOptions& o) {
  const auto require = [](bool condition, const char* rule, double value) {
    if (!condition) { throw ConfigError(cat("VAR training: ", rule, ", got ", value)); }
  };
  require(o.steps >= 1, "steps must be positive", static_cast<double>(o.steps));
  require(o.batch >= 1, "batch must be positive", static_cast<double>(o.batch));
  require(o.accumulate >= 1 && o.accumulate <= o.batch, "accumulate must be between 1 and batch",
          static_cast<double>(o.accumulate));
  require(o.lr >= 0, "lr must not be negative", o.lr);
  require(o.warmup_share >= 0 && o.warmup_share < 1, "warmup_share must be in [0, 1)", o.warmup_share);
  require(o.clip >= 0, "clip must not be negative", o.clip);
  require(o.log_every >= 1, "log_every must be positive", static_cast<double>(o.log_every));
  if (o.dtype != DType::kF32 && o.dtype != DType::kBF16) {
    throw ConfigError(cat("VAR training: dtype must be f32 or bf16, got ", o.dtype));
  }
}

bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

}  // namespace

/// What the loss of tokens showed, where the model is.
struct VarTrainer::Shown {
  Tensor token_loss;  // (B, l)
  Tensor predicted;   // undefined unless asked for
};

/// Per scale, over the tokens seen.
struct VarTrainer::Sums {
  explicit Sums(int64_t scales)
      : loss(static_cast<size_t>(scales)), correct(static_cast<size_t>(scales)), count(static_cast<size_t>(scales)) {}
  std::vector<double> loss, correct, count;

  /// Waits for the device.
  void add(const Pyramid& pyramid, const Shown& shown, const Tensor& target) {
    const Tensor token_loss = shown.token_loss.to(kCpu);
    const Tensor predicted = shown.predicted.defined() ? shown.predicted.to(kCpu) : Tensor();
    const int64_t B = token_loss.dim(0), L = token_loss.dim(1);
    const float* value = token_loss.data<float>();
    const int64_t* best = predicted.defined() ? predicted.data<int64_t>() : nullptr;
    const int64_t* wanted = target.data<int64_t>();
    for (size_t s = 0; s < loss.size(); ++s) {
      for (int64_t b = 0; b < B; ++b) {
        for (int64_t t = b * L + pyramid.begin(static_cast<int64_t>(s));
             t < b * L + pyramid.end(static_cast<int64_t>(s)); ++t) {
          loss[s] += value[t];
          if (best != nullptr && best[t] == wanted[t]) { ++correct[s]; }
          ++count[s];
        }
      }
    }
  }

  void add(const Sums& other) {
    for (size_t s = 0; s < loss.size(); ++s) {
      loss[s] += other.loss[s];
      correct[s] += other.correct[s];
      count[s] += other.count[s];
    }
  }

  /// Means over all tokens and per scale.
  HeldOut means() const {
    HeldOut out;
    double total_loss = 0, total_correct = 0, total = 0;
    for (size_t s = 0; s < loss.size(); ++s) {
      out.scale_loss.push_back(loss[s] / count[s]);
      out.scale_accuracy.push_back(correct[s] / count[s]);
      total_loss += loss[s];
      total_correct += correct[s];
      total += count[s];
    }
    out.loss = total_loss / total;
    out.accuracy = total_correct / total;
    return out;
  }
};

/// A step's batch where the model is, in the same memory at every step, and the step's work once it is recorded.
struct VarTrainer::Work {
  explicit Work(Device device) : arena(device), graph(arena) {}
  MemoryArena arena;    // of all steps, so that those that are replayed and those that are not share memory
  Tensor host_indices;  // (batch, L)
  Tensor indices, labels, input;
  Tensor key;                // of the step's draws
  bool ran = false;          // a step, by launches
  bool tried = false;        // to record one
  std::vector<Shown> shown;  // by the recorded step, for each slice
  DeviceGraph graph;
};

VarTrainer::VarTrainer(VarTransformer& model, const VarTrainingData& data, const VarTrainOptions& options,
                       VarTrainCallbacks callbacks, Communicator* ranks)
    : model_(model),
      data_(data),
      options_((check_options(options), options)),
      callbacks_(std::move(callbacks)),
      optimizer_(decay_groups(model.named_parameters(), model.no_decay_names()),
                 {.beta1 = options.beta1, .beta2 = options.beta2}),
      schedule_(schedule_options(options)),
      ranks_(ranks),
      work_(std::make_unique<Work>(model.device())) {
  check_data();
  if (ranks != nullptr && options.accumulate % ranks->size() != 0) {
    throw ConfigError(
        cat("VAR training: accumulate must be a multiple of the ", ranks->size(), " ranks, got ", options.accumulate));
  }
  if (options.dtype == DType::kBF16) { copies_ = ComputeCopies(model.compute_in_bf16()); }
  optimizer_.write_copies(copies_);
  for (const auto& [name, table] : tables()) { initial_tables_[name] = table.to(kCpu).clone(); }
}

void VarTrainer::check_data() const {
  const VarConfig& config = model_.config();
  if (data_.quantizer == nullptr) { throw ConfigError("VAR training: the data needs the quantizer of its indices"); }
  const auto check = [&](const Tensor& indices, const Tensor& labels, const char* which) {
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
  };
  check(data_.indices, data_.labels, "training tokens");
  if (data_.held_out_indices.defined()) { check(data_.held_out_indices, data_.held_out_labels, "held-out tokens"); }
}

State VarTrainer::tables() const {
  State found = model_.positions().state();
  found["pos_start"] = model_.pos_start.value();
  if (model_.lvl_embed) { found["lvl_embed.weight"] = model_.lvl_embed->weight.value(); }
  return found;
}

/// The images of the step that follows `step` done ones: epochs are shuffled one by one and read through without gaps.
std::vector<int64_t> VarTrainer::batch_rows(int64_t step) {
  const int64_t N = data_.labels.numel();
  std::vector<int64_t> rows;
  for (int64_t i = step * options_.batch; i < (step + 1) * options_.batch; ++i) {
    if (i / N != epoch_) {
      epoch_ = i / N;
      order_ = random_permutation(N, Generator(options_.seed, streams::kTransformerOrder + epoch_));
    }
    rows.push_back(order_[static_cast<size_t>(i % N)]);
  }
  return rows;
}

VarTrainer::~VarTrainer() = default;

/// The images of a slice, of the batch's.
VarTrainer::Slice VarTrainer::slice(int64_t index) const {
  return {index * options_.batch / options_.accumulate, (index + 1) * options_.batch / options_.accumulate};
}

/// Which slices this process computes.
VarTrainer::Slice VarTrainer::own_slices() const {
  if (ranks_ == nullptr) { return {0, options_.accumulate}; }
  const int64_t each = options_.accumulate / ranks_->size();
  return {ranks_->rank() * each, (ranks_->rank() + 1) * each};
}

/// Where the draws of the step under way begin. They depend on (seed, step) alone, so a resumed run needs no state of a
/// generator but these two numbers.
Generator VarTrainer::draws() const { return Generator(options_.seed, streams::kTransformerStep + step_); }

void VarTrainer::load_batch(const std::vector<int64_t>& rows) {
  Work& w = *work_;
  w.host_indices = take_rows(data_.indices, rows);
  const Tensor labels = take_rows(data_.labels, rows);
  const Device device = model_.device();
  if (!w.indices.defined()) {
    const VarConfig& config = model_.config();
    const int64_t B = options_.batch, L = config.length(), first = model_.pyramid().tokens(0);
    w.indices = Tensor::empty({B, L}, DType::kI64, device);
    w.labels = Tensor::empty({B}, DType::kI64, device);
    w.input = Tensor::empty({B, L - first, config.Cvae}, DType::kF32, device);
    w.key = Tensor::empty({2}, DType::kI64, device);
  }
  w.indices.copy_(w.host_indices);
  w.labels.copy_(labels);
  for (int64_t i = own_slices().begin; i < own_slices().end; ++i) {
    const auto [begin, end] = slice(i);
    w.input.slice(0, begin, end).copy_(data_.quantizer->indices_to_var_input(w.host_indices.slice(0, begin, end)));
  }
  const std::vector<int64_t> key{static_cast<int64_t>(draws().seed), static_cast<int64_t>(draws().stream)};
  w.key.copy_(Tensor::from(key, {2}));
}

/// The losses of tokens, and with a graph their mean.
Variable VarTrainer::slice_loss(const Tensor& indices, const Tensor& labels, const Tensor& input, double smoothing,
                                Detail detail, Shown& shown) {
  const Variable logits = model_.forward(labels, Variable(input), options_.recompute);
  const Variable token_loss = cross_entropy(logits, indices, smoothing);
  shown.token_loss = token_loss.value();
  if (detail == Detail::kAll) { shown.predicted = argmax(logits.value(), -1); }
  return mean(token_loss);
}

/// Launches forward and backward of this process's slices; gradients add up in the parameters, those of all ranks.
std::vector<VarTrainer::Shown> VarTrainer::launch_slices(Detail detail) {
  const Work& w = *work_;
  constexpr int kDrawsOfSlice = 40;  // its draws begin at its number x 2^40, whoever computes it
  const Slice own = own_slices();
  std::vector<Shown> all(static_cast<size_t>(own.end - own.begin));
  for (int64_t i = own.begin; i < own.end; ++i) {
    const auto [begin, end] = slice(i);
    default_generator().offset = static_cast<uint64_t>(i) << kDrawsOfSlice;
    const double weight = static_cast<double>(end - begin) / static_cast<double>(options_.batch);
    const Variable loss =
        slice_loss(w.indices.slice(0, begin, end), w.labels.slice(0, begin, end), w.input.slice(0, begin, end),
                   options_.label_smoothing, detail, all[static_cast<size_t>(i - own.begin)]);
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

void VarTrainer::add_figures_of_ranks(Sums& sums) {
  if (ranks_ == nullptr) { return; }
  for (std::vector<double>* values : {&sums.loss, &sums.correct, &sums.count}) {
    const Tensor all = Tensor::from(*values, {static_cast<int64_t>(values->size())}).to(model_.device());
    ranks_->sum({all});
    *values = all.to_vector<double>();
  }
}

/// Whether the step is recorded; records it once a step has run by launches.
bool VarTrainer::is_recorded() {
  Work& w = *work_;
  if (!options_.graphs || model_.device().is_cpu() || !w.ran) { return false; }
  if (w.tried) { return w.graph.recorded(); }
  w.tried = true;
  const DrawKey key(w.key);
  const bool recorded = w.graph.record([&] {
    w.shown = launch_slices(Detail::kLoss);
    optimizer_.launch_clipped(options_.clip);
    model_.zero_grad();
  });
  if (!recorded) {
    model_.zero_grad();
    default_generator() = draws();
  }
  return recorded;
}

std::string VarTrainer::not_recorded() const { return work_->graph.reason(); }

/// The step's launches, or their replay.
std::vector<VarTrainer::Shown> VarTrainer::run_step(Detail detail, VarStepRecord& record) {
  if (detail == Detail::kLoss && is_recorded()) {
    optimizer_.schedule(record.lr, record.weight_decay);
    work_->graph.replay();
    return work_->shown;
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
  std::vector<Shown> shown = launch_slices(detail);
  model_.observe_position_gradient({});
  if (detail == Detail::kAll) { observe_tables(record); }
  optimizer_.clipped_step(record.lr, record.weight_decay, options_.clip);
  model_.zero_grad();
  work_->ran = true;
  return shown;
}

VarStepRecord VarTrainer::step(Detail detail) {
  const auto started = Clock::now();
  const ModeScope mode(model_, Mode::kTrain);
  const ComputeWith precision(copies_);
  const GeneratorScope generator(draws());
  const MemoryArena::Scope memory(work_->arena);
  load_batch(batch_rows(step_));
  VarStepRecord record;
  record.lr = schedule_.lr(step_);
  record.weight_decay = schedule_.wd(step_);
  const std::vector<Shown> shown = run_step(detail, record);

  Sums sums(model_.pyramid().scales());
  const Slice own = own_slices();
  for (int64_t i = own.begin; i < own.end; ++i) {
    const auto [begin, end] = slice(i);
    Sums of_slice(model_.pyramid().scales());
    of_slice.add(model_.pyramid(), shown[static_cast<size_t>(i - own.begin)], work_->host_indices.slice(0, begin, end));
    sums.add(of_slice);
  }
  add_figures_of_ranks(sums);
  const HeldOut means = sums.means();
  record.loss = means.loss;
  record.scale_loss = means.scale_loss;
  if (detail == Detail::kAll) {
    record.accuracy = means.accuracy;
    record.scale_accuracy = means.scale_accuracy;
  }
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

HeldOut VarTrainer::evaluate(HeldOutPart part) {
  if (!data_.held_out_indices.defined()) {
    throw ConfigError("VAR training: evaluate() needs held-out tokens, none were given");
  }
  const NoGrad no_grad;
  const ModeScope mode(model_, Mode::kEval);
  const ComputeWith precision(copies_);
  const MemoryArena::Scope memory(work_->arena);
  Sums sums(model_.pyramid().scales());
  const std::vector<int64_t> images =
      part_of(data_.held_out_labels.numel(), part == HeldOutPart::kAll ? 0 : options_.evaluate_images);
  const auto count = static_cast<int64_t>(images.size());
  for (int64_t begin = 0; begin < count; begin += options_.batch) {
    const int64_t end = std::min(count, begin + options_.batch);
    const std::span<const int64_t> rows(images.data() + begin, static_cast<size_t>(end - begin));
    const Tensor indices = take_rows(data_.held_out_indices, rows), labels = take_rows(data_.held_out_labels, rows);
    const Device device = model_.device();
    Shown shown;
    slice_loss(indices.to(device), labels, data_.quantizer->indices_to_var_input(indices).to(device), 0, Detail::kAll,
               shown);
    sums.add(model_.pyramid(), shown, indices);
  }
  HeldOut means = sums.means();
  means.images = count;
  return means;
}

void VarTrainer::run() {
  auto since = Clock::now();
  int64_t steps_since = 0;
  while (step_ < options_.steps) {
    const int64_t next = step_ + 1;
    const bool last = next == options_.steps;
    const bool evaluation = due(next, options_.evaluate_every) || last;
    const bool recorded = next == 1 || due(next, options_.log_every) || evaluation;
    VarStepRecord record = step(recorded ? Detail::kAll : Detail::kLoss);
    ++steps_since;
    if (recorded) {
      record.seconds_per_step =
          std::chrono::duration<double>(Clock::now() - since).count() / static_cast<double>(steps_since);
      if (evaluation && data_.held_out_indices.defined()) {
        const HeldOut held_out = evaluate(last ? HeldOutPart::kAll : HeldOutPart::kSome);
        record.held_out_images = held_out.images;
        record.held_out_loss = held_out.loss;
        record.held_out_accuracy = held_out.accuracy;
        record.held_out_scale_loss = held_out.scale_loss;
      }
      log_.push_back(record);
      if (callbacks_.record) { callbacks_.record(record); }
      if (evaluation && callbacks_.evaluate) { callbacks_.evaluate(step_, model_); }
      since = Clock::now();
      steps_since = 0;
    }
    if (due(step_, options_.checkpoint_every) || last) { save_checkpoint(); }
    report_progress(record.loss);
  }
}

void VarTrainer::save_checkpoint() const {
  if (!options_.checkpoint_path.empty() && (ranks_ == nullptr || ranks_->rank() == 0)) {
    save(options_.checkpoint_path);
  }
}

void VarTrainer::report_progress(double loss) const {
  if (!callbacks_.progress) { return; }
  try {
    callbacks_.progress(step_, options_.steps, loss);
  } catch (...) {
    save_checkpoint();
    throw;
  }
}

}  // namespace terrace
