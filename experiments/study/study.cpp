#include "experiments/study/study.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "data/datasets/subset.h"
#include "data/files/atomic_file.h"
#include "data/files/json.h"
#include "data/images/pixels.h"
#include "experiments/cli/memory_bounds.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "experiments/study/stages.h"
#include "experiments/training/memory.h"
#include "tensor/device/allocator.h"
#include "tensor/random_streams.h"

namespace terrace {
namespace {

constexpr int64_t kShownPerClass = 8;

/// (L, C), what the encoding adds to the tokens; undefined where it adds nothing.
Tensor table_of(VarTransformer& model) {
  NoGrad no_grad;
  const Variable table = model.positions().table();
  if (!table.defined()) { return {}; }
  return table.value().to(kCpu).reshape({model.pyramid().length(), model.config().embed_dim}).clone();
}

/// Puts the costs into the records of a run's log, and sums the log up.
void summarize_log(const StageCosts& costs, StudyRun& run) {
  std::vector<double> seconds;
  for (VarStepRecord& r : run.log) {
    const auto cost = costs.records.find(r.step);
    if (cost == costs.records.end()) { continue; }
    r.seconds_per_step = cost->second.first;
    r.peak_bytes = cost->second.second;
    if (r.seconds_per_step > 0) { seconds.push_back(r.seconds_per_step); }
    run.peak_bytes = std::max(run.peak_bytes, r.peak_bytes);
  }
  run.seconds_per_step = median(seconds);
  run.step_seconds = seconds_of_steps(costs);
  const size_t last = std::max<size_t>(1, run.log.size() / 10);
  run.train_loss = 0;
  for (size_t i = run.log.size() - last; i < run.log.size(); ++i) {
    run.train_loss += run.log[i].loss / static_cast<double>(last);
  }
}

}  // namespace

double own_class_share(const Tensor& images, const Tensor& labels, std::vector<double>* per_class) {
  const std::vector<int64_t> label = labels.to_vector<int64_t>();
  std::vector<double> hits(kProceduralClasses, 0), counts(kProceduralClasses, 0);
  double total = 0;
  for (size_t i = 0; i < label.size(); ++i) {
    check_interrupt();
    const bool own = classify_procedural(images.select(0, static_cast<int64_t>(i))) == label[i];
    ++counts[static_cast<size_t>(label[i])];
    if (own) { ++hits[static_cast<size_t>(label[i])], ++total; }
  }
  if (per_class != nullptr) {
    per_class->clear();
    for (size_t c = 0; c < hits.size(); ++c) { per_class->push_back(counts[c] > 0 ? hits[c] / counts[c] : 0); }
  }
  return label.empty() ? kNotMeasured : total / static_cast<double>(label.size());
}

Study::Study(const StudyConfig& config, Json configuration, OutputFolder& folder, RunRecord& record)
    : config_(config),
      configuration_(std::move(configuration)),
      start_(StudyClock::now()),
      device_(device_from_name(config.common.device)) {
  open_folder(folder, record);
}

Study::~Study() = default;

void Study::say(const std::string& text) const { std::fprintf(stderr, "study: %s\n", text.c_str()); }

/// The study.json of the study that is gone on with, null where one begins.
Json Study::stored_state() const {
  if (config_.overwrite) { return nullptr; }
  if (!std::filesystem::exists(path("study.json"))) {
    for (const char* stage : {"data.h5", "tokenizer.h5", "tokenizer_result.h5"}) {
      if (std::filesystem::exists(path(stage))) {
        throw ConfigError(cat(config_.common.out, " holds ", stage,
                              " but no study.json that says what it was made with; add --overwrite to replace what "
                              "run.json lists, or give another folder with --out"));
      }
    }
    return nullptr;
  }
  const CheckedJson read =
      read_checked_json(path("study.json"), "add --overwrite to replace the study, or give another folder with --out");
  const Json& stored = read.value;
  const auto is_object = [&](const char* name) { return stored.value(name, Json()).is_object(); };
  if (!stored.is_object() || !is_object("configuration") || (stored.contains("plan") && !is_object("plan"))) {
    throw ConfigError(cat(path("study.json"), ": not a study's file; give another folder with --out"));
  }
  if (!read.has_checksum) { note_without_checksum(path("study.json")); }
  return stored;
}

/// run.json and study.json are there before any stage: what is found later is known to belong to these options.
void Study::open_folder(OutputFolder& folder, RunRecord& record) {
  const Json stored = stored_state();
  if (!stored.is_null()) {
    require_same_study(stored["configuration"], configuration_, config_.common.out);
    plan_ = stored.value("plan", Json::object());
    apply_plan();
  }
  folder.begin(record);
  if (stored.is_null()) { save_state(); }
}

void Study::save_state() const {
  write_file(path("study.json"), checked_json_text({{"configuration", configuration_}, {"plan", plan_}}));
}

void Study::prepare_data() {
  std::string file = config_.data;
  if (file.empty()) {
    file = path("data.h5");
    if (!std::filesystem::exists(file)) {
      ProceduralOptions options;
      options.seed = config_.common.seed;
      // As given: --minutes may take a part of them.
      const auto train = configuration_.value("train-images", config_.train_images);
      const auto held_out = configuration_.value("held-out-images", config_.held_out_images);
      if (train > 0) { options.train = train; }
      if (held_out > 0) { options.test = held_out; }
      Progress progress("generate images", options.train + options.test, "images");
      create_procedural(file, options, [&](int64_t done, int64_t) {
        check_interrupt();
        progress.update(done);
      });
      progress.finish();
    }
  }
  train_ = open_with_images(file, "train");
  held_out_ = open_held_out(file);
  if (!held_out_) {
    throw ConfigError(cat(file,
                          ": a study needs a split test or val beside train; prepare_data images --test-every 10 "
                          "makes one"));
  }
  check_bounds();
}

/// Refuses what the memory does not hold, before anything is trained. The tokenizer of --tokenizer is not loaded yet.
void Study::check_bounds() const {
  if (!config_.tokenizer.empty()) { return; }
  const VqvaeConfig tokenizer = config_.tokenizer_config();
  check_step_memory(tokenizer, config_.tokenizer_batch, device_, "--tokenizer-batch");
  check_step_memory(config_.transformer_config(config_.encodings.front(), tokenizer, train_->num_classes()),
                    config_.transformer_training(1, 0), 1, device_);
  const double image = 3.0 * static_cast<double>(train_->height() * train_->width());
  check_memory(static_cast<double>(config_.samples) * static_cast<double>(train_->num_classes()) * image,
               cat("--samples ", config_.samples, " of each of ", train_->num_classes(), " classes"), "--samples");
}

StageOrigin Study::origin(double seconds) const {
  return {.seconds = seconds,
          .version = version(),
          .dataset_hash = train_tokens_.dataset_hash,
          .tokenizer_hash = train_tokens_.tokenizer_hash,
          .machine = describe_machine()};
}

void Study::require_same_origin(const StageOrigin& stored, const std::string& file) const {
  const auto compare = [&](const std::string& there, const std::string& here, const char* what) {
    if (there == here) { return; }
    throw ConfigError(cat(file, " was made with ", what, " (there ", there, ", here ", here,
                          "); add --overwrite to replace the study, or give another folder with --out"));
  };
  compare(stored.dataset_hash, train_tokens_.dataset_hash, "other images");
  compare(stored.tokenizer_hash, train_tokens_.tokenizer_hash, "another tokenizer");
}

VarTrainingData Study::training_data() const {
  VarTrainingData data;
  data.indices = train_tokens_.indices;
  data.labels = train_tokens_.labels;
  data.held_out_indices = held_out_tokens_.indices;
  data.held_out_labels = held_out_tokens_.labels;
  if (config_.final_images > 0 && config_.final_images < held_out_tokens_.size()) {
    const std::vector<int64_t> rows = part_of(held_out_tokens_.size(), config_.final_images);
    data.held_out_indices = take_rows(data.held_out_indices, rows);
    data.held_out_labels = take_rows(data.held_out_labels, rows);
  }
  data.class_names = train_tokens_.class_names;
  data.tokenizer_hash = train_tokens_.tokenizer_hash;
  data.quantizer = &tokenizer_->quantizer();
  return data;
}

StudyRun Study::run_transformer(const std::string& encoding, uint64_t seed) {
  const std::string name = cat(encoding, "-seed", seed), folder = path("runs/" + name);
  if (std::filesystem::exists(folder + "/result.h5")) {
    say(cat(name, ": finished already"));
    StudyRun stored = read_run(folder + "/result.h5");
    require_same_origin(stored.origin, folder + "/result.h5");
    return stored;
  }
  make_folder(folder);
  const StudyClock::time_point start = StudyClock::now();
  const int64_t live_before = memory_stats(device_).live;  // images, tokens and the tokenizer are no part of training
  Generator g(seed, streams::kStudyWeights);
  VarTransformer model(config_.transformer_config(encoding, tokenizer_->config(), train_->num_classes()), g);
  model.to(device_);
  StudyRun run;
  run.encoding = encoding;
  run.seed = seed;
  run.steps = config_.steps;
  run.batch = config_.batch;
  run.parameters = model.parameter_count();
  run.start = model.table_summary();
  run.initial_table = table_of(model);
  StageCostFile costs(folder + "/costs.json", start);
  train_transformer(model, folder, live_before, costs, run);
  run.held_out = evaluate_all(model);
  run.end = model.table_summary();
  run.table = table_of(model);
  draw_samples(model, run);
  run.origin = origin(costs.seconds());
  write_run(folder + "/result.h5", run);
  return run;
}

/// Trains the model of a run and fills in what was logged, and what it cost beyond the `live_before` bytes.
void Study::train_transformer(VarTransformer& model, const std::string& folder, int64_t live_before,
                              StageCostFile& costs, StudyRun& run) {
  VarTrainOptions options = config_.transformer_training(run.steps, run.seed);
  options.checkpoint_path = folder + "/checkpoint.h5";
  Progress progress(cat(run.encoding, "-seed", run.seed), run.steps);
  VarTrainCallbacks callbacks;
  callbacks.record = [&](const VarStepRecord& r) { costs.add(r.step, r.seconds_per_step, r.peak_bytes - live_before); };
  callbacks.progress = [&](int64_t done, int64_t, double loss) {
    check_interrupt();
    progress.update(done, {{"loss", loss}});
  };
  reset_peak_memory(device_);
  VarTrainer trainer(model, training_data(), options, callbacks);
  run_from_checkpoint(trainer, options.checkpoint_path, costs, progress);
  progress.finish();
  run.log = trainer.log();
  summarize_log(costs.costs(), run);
}

/// The final figure is over every held-out image (with --minutes perhaps a part of them), where those during training
/// are over a part.
HeldOut Study::evaluate_all(VarTransformer& model) const {
  return VarTrainer(model, training_data(), config_.transformer_training(1, 0)).evaluate();
}

void Study::draw_samples(VarTransformer& model, StudyRun& run) {
  // Classes evenly spread, all of them where there is no reason for fewer.
  const int64_t all_classes = train_->num_classes();
  const int64_t classes = config_.sampled_classes > 0 ? std::min(config_.sampled_classes, all_classes) : all_classes;
  const int64_t count = classes * config_.samples;
  std::vector<int64_t> labels(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) { labels[static_cast<size_t>(i)] = i / config_.samples * all_classes / classes; }
  Tensor images = Tensor::empty({count, train_->height(), train_->width(), 3}, DType::kU8);
  Progress progress(cat("sample ", run.encoding), count, "images");
  const double seconds = seconds_of([&] {
    for (int64_t begin = 0; begin < count; begin += kStudyBatch) {
      check_interrupt();
      const int64_t end = std::min(begin + kStudyBatch, count);
      std::vector<uint64_t> seeds;  // the same for every encoding: images can be compared one by one
      for (int64_t i = begin; i < end; ++i) { seeds.push_back((run.seed << 32) + static_cast<uint64_t>(i)); }
      const Tensor batch =
          Tensor::from(std::vector<int64_t>(labels.begin() + begin, labels.begin() + end), {end - begin});
      const Sampled drawn = sample(model, tokenizer_->quantizer(), batch, seeds, config_.sampling());
      images.slice(0, begin, end).copy_(images_to_bytes(tokenizer_->f_hat_to_images(drawn.f_hat)));
      progress.update(end);
    }
  });
  progress.finish();
  run.drawn = count;
  run.sampled_per_second = static_cast<double>(count) / seconds;
  const Tensor all = Tensor::from(labels, {count});
  if (is_procedural(*train_)) { run.own_share = own_class_share(images, all, &run.class_share); }
  run.distance = distance_of(images);
  run.distance_images = std::min(count, config_.evaluator.images);
  const int64_t each = std::min(kShownPerClass, config_.samples);
  run.samples = Tensor::empty({classes * each, train_->height(), train_->width(), 3}, DType::kU8);
  std::vector<int64_t> shown;
  for (int64_t c = 0; c < classes; ++c) {
    run.samples.slice(0, c * each, (c + 1) * each)
        .copy_(images.slice(0, c * config_.samples, c * config_.samples + each));
    shown.insert(shown.end(), static_cast<size_t>(each), labels[static_cast<size_t>(c * config_.samples)]);
  }
  run.sample_labels = Tensor::from(shown, {classes * each});
}

StudyResults Study::run() {
  prepare_data();
  prepare_tokenizer();
  prepare_tokens();
  say(cat("tokenizer: held-out PSNR ", format_number(tokenizer_result_.psnr), " dB"));
  if (std::isfinite(tokenizer_result_.distance)) {
    say(cat(tokenizer_result_.distance_name, ": ", format_number(tokenizer_result_.distance), " of reconstructions (",
            tokenizer_result_.distance_about, ")"));
  }
  plan_transformers();
  std::map<std::pair<std::string, uint64_t>, StudyRun> done;
  // Seeds outside: a study that is stopped has whole comparisons.
  for (const uint64_t seed : config_.seeds) {
    for (const std::string& encoding : config_.encodings) {
      StudyRun run = run_transformer(encoding, seed);
      std::string text = cat(encoding, " seed ", seed, ": held-out loss ", format_number(run.held_out.loss));
      if (std::isfinite(run.own_share)) {
        text += cat(", samples of their class ", format_number(100 * run.own_share), " %");
      }
      if (std::isfinite(run.distance)) {
        text += cat(", ", tokenizer_result_.distance_name, " of samples ", format_number(run.distance));
      }
      say(text);
      done.emplace(std::pair(encoding, seed), std::move(run));
    }
  }
  StudyResults results;
  results.configuration = configuration_;
  for (const auto& [name, value] : plan_.items()) {
    const std::string option = option_of(name);
    if (results.configuration.contains(option)) { results.configuration[option] = value; }
  }
  results.configuration["tokenizer-steps"] = tokenizer_result_.steps;
  results.plan = plan_;
  results.machine = describe_machine();
  results.libraries = describe_libraries();
  results.version = version();
  results.source = train_->source();
  results.class_names = train_->class_names();
  results.patch_nums = tokenizer_->config().patch_nums;
  results.train_images = train_tokens_.size();
  results.held_out_images = held_out_tokens_.size();
  results.final_images = training_data().held_out_labels.numel();
  results.curve_images = std::min(config_.curve_images, results.final_images);
  results.embed_dim = config_.embed_dim;
  results.tokenizer = tokenizer_result_;
  for (const std::string& encoding : config_.encodings) {
    for (const uint64_t seed : config_.seeds) { results.runs.push_back(std::move(done.at({encoding, seed}))); }
  }
  results.wall_seconds = results.tokenizer.origin.seconds;
  for (const StudyRun& run : results.runs) { results.wall_seconds += run.origin.seconds; }
  return results;
}

}  // namespace terrace
