// Trains a VAR transformer on the tokens of an image dataset.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "data/files/atomic_file.h"
#include "experiments/cli/options.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/ranks.h"
#include "experiments/cli/run_record.h"
#include "experiments/evaluation/frechet_evaluator.h"
#include "tensor/base/names.h"
#include "tensor/random_streams.h"
#include "var/content_hash.h"
#include "var/positions/encodings.h"
#include "var/presets.h"
#include "var/tokenizer/token_cache.h"
#include "var/training/curves.h"
#include "var/training/var_trainer.h"
#include "var/weights/load.h"

namespace terrace {
namespace {

struct Settings {
  CommonOptions common;
  std::string data, tokenizer, tokens;
  std::string preset = "var-32px";
  std::string dtype = "f32";
  bool resume = false, recompute = false;
  int64_t ranks = 1;
  EvaluatorOptions evaluator;
  VarConfig model = var_preset(preset);
  VarTrainOptions training;
};

void declare_model(Options& options, Settings& s) {
  VarConfig& m = s.model;
  options.group("Model");
  options.add("model", s.preset, "a model by name; what is given beside it stands, the tokenizer decides the pyramid")
      .choices(var_preset_names())
      .preset([&m](const std::string& name) {
        const PositionalConfig positions = m.positions;  // has options of its own
        m = var_preset(name);
        m.positions = positions;
      });
  options.add("depth", m.depth, "blocks").at_least(1);
  options.add("embed-dim", m.embed_dim, "channels").at_least(1);
  options.add("heads", m.num_heads, "attention heads").at_least(1);
  options.add("mlp-ratio", m.mlp_ratio, "hidden channels of the MLP per channel").positive();
  options.add("attn-l2-norm", m.attn_l2_norm, "queries and keys of unit length, a learned scale per head");
  options.add("shared-aln", m.shared_aln, "one adaptive layer norm projection for all blocks");
  options.add("gamma-init", m.adaln_gamma_init, "factor on the gates' first weights").at_least(0);
  options.add("cond-drop", m.cond_drop_rate, "share of labels replaced by no class").range(0, 0.99);
  options.add("drop-path", m.drop_path_rate, "of the last block; negative: 0.1 depth / 24").range(-1, 0.99);
  options.add("drop", m.drop_rate, "dropout on the branches").range(0, 0.99);
  options.group("Positional encoding");
  options.add("pe", m.positions.kind, "what is added to the tokens").choices(encoding_names());
  options
      .add("pe-mix", m.positions.learned_weight,
           "weight of the learned table in " + join_names(mixing_encoding_names()))
      .range(0, 1);
  options.add("pe-scale", m.positions.scale, "factor on a fixed table");
  options.add("pe-rms", m.positions.rms, "root mean square to scale a fixed table to, 0 for its own").at_least(0);
  options.add("level-embedding", m.positions.level_embedding, "a learned vector per scale");
}

void declare_training(Options& options, Settings& s) {
  VarTrainOptions& t = s.training;
  options.group("Training");
  options.add("steps", t.steps, "optimizer steps").at_least(1);
  options.add("batch", t.batch, "images per step").at_least(1);
  options.add("accumulate", t.accumulate, "micro-batches that a step's batch is computed in").at_least(1);
  options.add("lr", t.lr, "peak learning rate").at_least(0);
  options.add("schedule", t.schedule, "schedule of the learning rate: lin0, lin00, lin, linX, cos, exp");
  options.add("warmup", t.warmup_share, "share of the steps that warm up").range(0, 0.99);
  options.add("final-lr", t.final_lr, "share of the rate that is left at the end").range(0, 1);
  options.add("weight-decay", t.weight_decay, "decoupled weight decay").at_least(0);
  options.add("weight-decay-end", t.weight_decay_end, "at the end; negative: the same");
  options.add("beta1", t.beta1, "of AdamW").range(0, 0.9999);
  options.add("beta2", t.beta2, "of AdamW").range(0, 0.9999);
  options.add("clip", t.clip, "largest gradient norm, 0 for any").at_least(0);
  options.add("label-smoothing", t.label_smoothing, "of the cross-entropy").range(0, 1);
  options
      .add("dtype", s.dtype,
           "what blocks and head compute in; bf16: half the memory of activations, weights and checkpoints stay f32")
      .choices({"f32", "bf16"});
  options.add("graphs", s.training.graphs, "on a GPU, record the launches of a step once and replay them");
  options.add("recompute", s.recompute, "keep each block's input only and compute the rest again: less memory, slower");
}

void declare(Options& options, Settings& s) {
  options.group("Data");
  options.add("data", s.data,
              "image dataset (HDF5, from prepare_data); without it the token caches stand for themselves");
  options
      .add("tokenizer", s.tokenizer,
           "the folder of a run of train_vqvae, its checkpoint.h5, or official weights (.pth, .safetensors)")
      .required();
  options.add("tokens", s.tokens, "folder of the token caches").default_text("OUT");
  declare_model(options, s);
  declare_training(options, s);
  options.group("Run");
  options
      .add(
          "ranks", s.ranks,
          "processes that share a batch, one for each GPU with --device cuda; its micro-batches are that many at least")
      .range(1, 1024);
  options.add("resume", s.resume, "go on from OUT/checkpoint.h5");
  options.add("checkpoint-every", s.training.checkpoint_every, "steps between checkpoints, 0 for the end only")
      .at_least(0);
  options.add("evaluate-every", s.training.evaluate_every, "steps between held-out losses, 0 for the end only")
      .at_least(0);
  options
      .add("evaluate-images", s.training.evaluate_images,
           "held-out images to evaluate on before the end, 0 for all; at the end all are")
      .at_least(0);
  s.evaluator.declare(
      options, "samples drawn at every evaluation for their Frechet distance to as many held-out images; 0: none");
  options.add("log-every", s.training.log_every, "steps between rows of curves.csv").at_least(1);
  options.add_common(s.common, "folder for checkpoint.h5, curves.csv, curves.jsonl and run.json");
}

TokenSet tokens_of(const std::string& folder, const Vqvae& tokenizer, const ImageDataset& images) {
  Progress progress("tokens of " + images.split(), images.size(), "images");
  TokenSet tokens =
      cached_tokens(cat(folder, "/tokens-", images.split(), ".h5"), tokenizer, images, 0, [&](int64_t done, int64_t) {
        check_interrupt();
        progress.update(done);
      });
  progress.finish();
  return tokens;
}

/// The cache of a split whose images are not here; it must be this tokenizer's.
TokenSet tokens_without_images(const std::string& path, const Vqvae& tokenizer) {
  TokenSet tokens = read_tokens(path);
  if (tokens.tokenizer_hash != content_hash(tokenizer)) {
    throw ConfigError(cat(path, " is of another tokenizer; give --data, and the tokens are made anew"));
  }
  return tokens;
}

VarTrainingData load_tokens(const Settings& s, Vqvae& tokenizer, const std::optional<ImageDataset>& held_out) {
  if (s.data.empty() && s.tokens.empty()) {
    throw ConfigError("--data is missing: an image dataset; or give --tokens, the folder of token caches");
  }
  const std::string folder = s.tokens.empty() ? s.common.out : s.tokens;
  make_folder(folder);
  const TokenSet train = s.data.empty() ? tokens_without_images(folder + "/tokens-train.h5", tokenizer)
                                        : tokens_of(folder, tokenizer, ImageDataset::open(s.data, "train"));
  VarTrainingData data;
  data.indices = train.indices;
  data.labels = train.labels;
  data.class_names = train.class_names;
  data.tokenizer_hash = train.tokenizer_hash;
  const std::string cached = folder + "/tokens-test.h5";
  if (held_out || (s.data.empty() && std::filesystem::exists(cached))) {
    const TokenSet tokens =
        held_out ? tokens_of(folder, tokenizer, *held_out) : tokens_without_images(cached, tokenizer);
    data.held_out_indices = tokens.indices;
    data.held_out_labels = tokens.labels;
  }
  data.quantizer = &tokenizer.quantizer();
  return data;
}

void keep_results(RunRecord& record, const VarStepRecord& last, const VarTransformer& model,
                  const std::vector<TableSummary>& tables_at_start) {
  Json tables = Json::object();
  for (const TableSummary& row : tables_at_start) { tables[row.name] = row.rms; }
  Json& results = record.results();
  results["steps"] = last.step;
  results["parameters"] = model.parameter_count();
  results["table_rms_at_start"] = std::move(tables);
  results["peak_resident_bytes"] = peak_resident_bytes();
  results["loss"] = last.loss;
  results["accuracy"] = last.accuracy;
  if (last.seconds_per_step > 0) { results["seconds_per_step"] = last.seconds_per_step; }
  if (last.peak_bytes > 0) { results["peak_tensor_bytes"] = last.peak_bytes; }
  if (last.held_out_loss < 0) { return; }
  results["held_out_images"] = last.held_out_images;
  results["held_out_loss"] = last.held_out_loss;
  results["held_out_accuracy"] = last.held_out_accuracy;
  results["held_out_scale_loss"] = last.held_out_scale_loss;
}

/// The log of a resumed run; times come from the curves that the run left.
std::vector<VarStepRecord> earlier_log(const VarTrainer& trainer, const std::string& folder) {
  std::vector<VarStepRecord> log = trainer.log();
  if (std::filesystem::exists(folder + "/curves.jsonl")) { restore_times(log, read_file(folder + "/curves.jsonl")); }
  return log;
}

void print_result(const VarStepRecord& last) {
  std::printf("loss %.4f, token accuracy %.1f %%", last.loss, 100 * last.accuracy);
  if (last.held_out_loss >= 0) {
    std::printf("; held out %.4f, %.1f %% over %lld images", last.held_out_loss, 100 * last.held_out_accuracy,
                static_cast<long long>(last.held_out_images));
  }
  if (last.seconds_per_step > 0) {
    std::printf("; %.1f ms a step, peak %s of tensors", 1e3 * last.seconds_per_step,
                format_bytes(static_cast<double>(last.peak_bytes)).c_str());
  }
  std::printf("\n");
}

/// What is shown of a training while it runs, and kept of it in the end.
class TrainingReport {
 public:
  TrainingReport(const Settings& s, const VarTransformer& model)
      : settings_(s),
        model_(model),
        tables_(model.table_summary()),
        curves_(s.common.out, model.pyramid().scales()),
        progress_("transformer", s.training.steps) {}

  /// Draws samples at every evaluation. Throws ConfigError where there are no images to compare them with.
  void evaluate_samples(Vqvae& tokenizer, const std::optional<ImageDataset>& held_out) {
    if (settings_.data.empty()) { throw ConfigError("a Frechet distance needs images: give --data"); }
    tokenizer.eval();
    const ImageDataset images = held_out ? *held_out : ImageDataset::open(settings_.data, "train");
    evaluator_.emplace(tokenizer, images, settings_.evaluator);
  }

  VarTrainCallbacks callbacks() {
    VarTrainCallbacks callbacks;
    callbacks.record = [this](const VarStepRecord& r) {
      add(r);
      curves_.publish_sometimes();
    };
    callbacks.progress = [this](int64_t done, int64_t, double loss) { update(done, loss); };
    if (evaluator_) {
      callbacks.evaluate = [this](int64_t done, VarTransformer& trained) {
        distance_ = evaluator_->distance(trained);
        progress_.message(cat("step ", done, ": ", evaluator_->line(distance_)));
      };
    }
    return callbacks;
  }

  /// Before the first step of this process: what the model gets, and the log of a resumed run.
  void begin(const VarTrainer& trainer) {
    std::printf("%.2f million parameters; tables that the tokens get, root mean square at the start:\n",
                static_cast<double>(model_.parameter_count()) / 1e6);
    for (const TableSummary& row : tables_) {
      std::printf("  %-24s %.5f  %s\n", row.name.c_str(), row.rms, row.learned ? "learned" : "fixed");
    }
    for (const VarStepRecord& r : earlier_log(trainer, settings_.common.out)) {
      curves_.add(r);
      last_ = r;
    }
  }

  void finish(const VarTrainer& trainer, const std::optional<ImageDataset>& held_out, RunRecord& record) {
    progress_.finish();
    if (!trainer.not_recorded().empty()) {
      std::printf("steps were launched one kernel at a time: %s\n", trainer.not_recorded().c_str());
    }
    curves_.publish();
    keep_results(record, last_, model_, tables_);
    if (distance_ >= 0) {
      record.results()["frechet"] = {{"name", evaluator_->frechet().name()},
                                     {"about", evaluator_->frechet().about()},
                                     {"samples", distance_},
                                     {"reconstructions", evaluator_->distance_of_reconstructions()},
                                     {"images", evaluator_->frechet().reference_images()}};
    }
    record.results()["held_out_split"] = held_out ? Json(held_out->split()) : Json();
    record.write(settings_.common.out);
    print_result(last_);
    std::printf("%s\n", settings_.training.checkpoint_path.c_str());
  }

 private:
  void add(const VarStepRecord& r) {
    curves_.add(r);
    last_ = r;
    if (r.held_out_loss >= 0) { held_out_loss_ = r.held_out_loss; }
  }

  void update(int64_t done, double loss) {
    Progress::Fields fields = {{"loss", loss}};
    if (held_out_loss_ >= 0) { fields.emplace_back("held-out", held_out_loss_); }
    progress_.update(done, fields);
    if (interrupted() && done < settings_.training.steps) {
      curves_.publish();
      throw Interrupted(cat("interrupted after step ", done, "; add --resume to the same command to go on"));
    }
  }

  const Settings& settings_;
  const VarTransformer& model_;
  std::vector<TableSummary> tables_;  // at the start
  CurveFiles curves_;
  Progress progress_;
  VarStepRecord last_;
  double held_out_loss_ = -1;  // the last one, for the line of progress; negative: none yet
  std::optional<SampleEvaluator> evaluator_;
  double distance_ = -1;
};

void parse(Options& options, Settings& s, int argc, char** argv) {
  s.common.out = "runs/var";
  declare(options, s);
  options.epilog(
      "The defaults are the small 32 px preset.\n"
      "  train_var --data procedural.h5 --tokenizer runs/vqvae/checkpoint.h5 --out runs/var\n"
      "  train_var --data procedural.h5 --tokenizer runs/vqvae/checkpoint.h5 --pe sinusoid-2d --pe-rms 0.03");
  options.parse(argc, argv);
}

/// The options that follow from others, from the tokenizer and from its tokens.
void complete(Settings& s, const VqvaeConfig& tokenizer, const VarTrainingData& data) {
  s.model.patch_nums = tokenizer.patch_nums;
  s.model.vocab_size = tokenizer.vocab_size;
  s.model.Cvae = tokenizer.z_channels;
  s.model.num_classes = static_cast<int64_t>(data.class_names.size());
  s.training.seed = s.common.seed;
  s.training.recompute = s.recompute ? Recompute::kBlocks : Recompute::kNothing;
  s.training.dtype = dtype_from_name(s.dtype);
  s.training.checkpoint_path = s.common.out + "/checkpoint.h5";
}

bool is_finished(const Settings& s, const VarTrainer& trainer) {
  return trainer.steps_done() == s.training.steps &&
         recorded_results(s.common.out).value("steps", 0) == s.training.steps;
}

void train(int argc, char** argv) {
  Settings s;
  Options options("train_var", "Trains a VAR transformer on the tokens of an image dataset.");
  parse(options, s, argc, argv);
  const std::unique_ptr<HostCommunicator> host = join_ranks(s.ranks);
  s.common.device = device_of_rank(s.common.device, host.get());
  const Device device = s.common.apply();
  const std::unique_ptr<Communicator> ranks = host == nullptr ? nullptr : make_communicator(device, *host);
  const bool first_rank = ranks == nullptr || ranks->rank() == 0;
  s.training.accumulate = std::max(s.training.accumulate, s.ranks);
  for (const UnreadOption& unread : unread_options(s.model.positions)) {
    throw ConfigError(cat("--", unread.option, " has no effect: ", unread.reason));
  }
  make_folder(s.common.out);
  RunRecord record("train_var", options.to_json(), s.common.seed);

  const std::unique_ptr<Vqvae> tokenizer = load_vqvae(s.tokenizer);
  tokenizer->to(device);
  std::optional<ImageDataset> held_out;
  if (!s.data.empty()) { held_out = open_held_out(s.data); }
  if (!first_rank) {
    host->barrier();  // the first makes the tokens, the others read them
  }
  const VarTrainingData data = load_tokens(s, *tokenizer, held_out);
  if (host != nullptr && first_rank) { host->barrier(); }
  complete(s, tokenizer->config(), data);

  Generator initial(s.common.seed, streams::kDefault);
  VarTransformer model(s.model, initial);
  model.to(device);
  TrainingReport report(s, model);
  if (s.evaluator.images > 0 && first_rank) { report.evaluate_samples(*tokenizer, held_out); }
  VarTrainer trainer(model, data, s.training, first_rank ? report.callbacks() : VarTrainCallbacks(), ranks.get());
  if (s.resume) { trainer.resume(s.training.checkpoint_path); }
  if (is_finished(s, trainer)) {
    std::printf("nothing is left to do: %s has all %lld steps\n", s.training.checkpoint_path.c_str(),
                static_cast<long long>(s.training.steps));
    return;
  }
  report.begin(trainer);
  trainer.run();
  if (first_rank) { report.finish(trainer, held_out, record); }
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) {
  return terrace::run_program(
      argc, argv, [](int count, char** arguments) { terrace::as_rank([&] { terrace::train(count, arguments); }); });
}
