// Trains a VAR transformer on the tokens of an image dataset.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "experiments/cli/options.h"
#include "experiments/cli/output_folder.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/ranks.h"
#include "experiments/cli/run_record.h"
#include "experiments/evaluation/frechet_evaluator.h"
#include "experiments/training/memory.h"
#include "experiments/training/start.h"
#include "experiments/training/var_report.h"
#include "tensor/base/names.h"
#include "tensor/random_streams.h"
#include "var/content_hash.h"
#include "var/positions/encodings.h"
#include "var/presets.h"
#include "var/tokenizer/token_cache.h"
#include "var/training/var_trainer.h"
#include "var/weights/checkpoint.h"
#include "var/weights/load.h"

namespace terrace {
namespace {

struct Settings {
  CommonOptions common;
  std::string data, tokenizer, tokens;
  std::string preset = "var-32px";
  std::string dtype = "f32";
  bool recompute = false;
  StartOptions start;
  int64_t ranks = 1, grid_images = 16;
  EvaluatorOptions evaluator;
  VarConfig model = var_preset(preset);
  VarTrainOptions training;
  std::vector<InputFile> inputs;
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
  options.add("depth", m.depth, "transformer blocks").at_least(1);
  options.add("embed-dim", m.embed_dim, "channels of a token (width)").at_least(1);
  options.add("heads", m.num_heads, "attention heads").at_least(1);
  options.add("mlp-ratio", m.mlp_ratio, "hidden channels of the MLP, as a multiple of the width").positive();
  options.add("attn-l2-norm", m.attn_l2_norm, "queries and keys of unit length, with a learned scale per head");
  options.add("shared-aln", m.shared_aln, "one projection of adaptive layer norm for all blocks");
  options
      .add("gamma-init", m.adaln_gamma_init,
           "gate initialisation: factor on the initial weights of the gates gamma that scale each branch before it is "
           "added")
      .at_least(0);
  options.add("cond-drop", m.cond_drop_rate, "probability that a label is replaced by \"no class\", for guidance")
      .range(0, 0.99);
  options
      .add("drop-path", m.drop_path_rate,
           "stochastic depth: probability that the last block's branches are dropped, rising linearly from 0 at the "
           "first; "
           "negative: 0.1 depth / 24")
      .range(-1, 0.99);
  options.add("drop", m.drop_rate, "dropout probability on the outputs of attention and MLP").range(0, 0.99);
  options.group("Positional encoding");
  options.add("pe", m.positions.kind, "what is added to the tokens").choices(encoding_names());
  options
      .add("pe-mix", m.positions.learned_weight,
           "weight of the learned table in " + join_names(mixing_encoding_names()))
      .range(0, 1);
  options.add("pe-scale", m.positions.scale, "factor on a fixed table");
  options.add("pe-rms", m.positions.rms, "root mean square that a fixed table is scaled to; 0: its own").at_least(0);
  options.add("level-embedding", m.positions.level_embedding, "a learned vector per scale is added too");
}

void declare_training(Options& options, Settings& s) {
  VarTrainOptions& t = s.training;
  options.group("Training");
  options.add("steps", t.steps, "optimizer steps of the whole run; an epoch is (training images / batch) steps")
      .at_least(1);
  s.start.declare_minutes(options);
  options.add("batch", t.batch, "images per step").range(1, 1e9);
  options
      .add("accumulate", t.accumulate,
           "micro-batches that a step's batch is computed in, one after another: less memory, the same gradient")
      .at_least(1);
  options.add("lr", t.lr, "peak learning rate of AdamW").at_least(0);
  options
      .add(
          "schedule", t.schedule,
          "learning-rate schedule after the warm-up: lin0 (constant for 5 % of the rest, then linear), lin00 (linear), "
          "lin (constant for 15 %), lin0.3 and the like (linear with a bend at that fraction), cos (half a cosine), "
          "exp")
      .metavar("NAME");
  options.add("warmup", t.warmup_share, "fraction of the steps that warm up linearly").range(0, 0.99);
  options.add("final-lr", t.final_lr, "learning rate at the last step, as a fraction of the peak").range(0, 1);
  options.add("weight-decay", t.weight_decay, "decoupled weight decay of AdamW, times the learning rate, per step")
      .at_least(0);
  options.add("weight-decay-end", t.weight_decay_end,
              "the same at the last step, reached by half a cosine; negative: constant");
  options.add("beta1", t.beta1, "AdamW's beta1: decay rate of the mean of gradients").range(0, 0.9999);
  options.add("beta2", t.beta2, "AdamW's beta2: decay rate of the mean of squared gradients").range(0, 0.9999);
  options.add("clip", t.clip, "gradients are scaled down to this global norm; 0: no clipping").at_least(0);
  options.add("label-smoothing", t.label_smoothing, "of the cross-entropy").range(0, 1);
  options
      .add("dtype", s.dtype,
           "what blocks and head compute in; bf16: half the memory of activations, weights and checkpoints stay f32")
      .choices({"f32", "bf16"});
  options.add("graphs", s.training.graphs, "on a GPU, record the launches of a step once and replay them");
  options.add("recompute", s.recompute,
              "activation checkpointing: keep each block's input only and compute the rest again in the backward pass: "
              "less memory, slower");
}

void declare(Options& options, Settings& s) {
  options.group("Data");
  options
      .add("data", s.data, "image dataset (HDF5, from prepare_data); without it the token caches stand for themselves")
      .metavar("FILE")
      .input();
  options
      .add("tokenizer", s.tokenizer,
           "the folder of a run of train_vqvae, its checkpoint.h5, or official weights (.pth, .safetensors)")
      .metavar("FILE|FOLDER")
      .required()
      .input();
  options.add("tokens", s.tokens, "folder of the token caches").metavar("FOLDER").default_text("OUT");
  declare_model(options, s);
  declare_training(options, s);
  options.group("Run");
  options
      .add(
          "ranks", s.ranks,
          "processes that share a batch, one for each GPU with --device cuda; its micro-batches are that many at least")
      .range(1, 1024)
      .needs_each(kBytesOfRank);
  s.start.declare(options);
  options.add("checkpoint-every", s.training.checkpoint_every, "steps between checkpoints; 0: one at the end")
      .at_least(0);
  options
      .add("evaluate-every", s.training.evaluate_every,
           "steps between evaluations on held-out images, each with a picture samples-STEP.png; 0: one at the end")
      .at_least(0);
  options
      .add("evaluate-images", s.training.evaluate_images,
           "held-out images to evaluate on before the end, 0: all; at the end all are")
      .at_least(0);
  options
      .add(
          "grid-images", s.grid_images,
          "samples in the picture of an evaluation, of classes spread evenly, the same classes and seeds each time; 0: "
          "no pictures. With a large model they take time")
      .range(0, 1024);
  s.evaluator.declare(
      options, "images sampled at every evaluation for their Frechet distance to as many held-out images; 0: none");
  options.add("log-every", s.training.log_every, "steps between rows of curves.csv").at_least(1);
  options.add_common(s.common, "folder for checkpoint.h5, curves.csv, curves.jsonl, pictures and run.json");
}

/// Throws ConfigError where the cache that --tokens names is of another tokenizer or of other images: it may be what
/// another run trains on, and making it anew can take hours.
void check_cache_is_free(const std::string& path, const Vqvae& tokenizer, const ImageDataset& images) {
  if (!std::filesystem::exists(path)) { return; }
  const TokenSet tokens = read_tokens(path);
  const auto refuse = [&](const char* what, const std::string& there, const std::string& here) {
    throw ConfigError(cat("--tokens: ", path, " was made with ", what, " = ", there, ", not ", here,
                          "; give another folder, or remove the file"));
  };
  const std::string hash = content_hash(tokenizer);
  if (tokens.tokenizer_hash != hash) { refuse("tokenizer", tokens.tokenizer_hash, hash); }
  if (tokens.dataset_hash != images.content_hash()) { refuse("images", tokens.dataset_hash, images.content_hash()); }
}

/// `note` is said before the first token is made, and is then "". Runs that share the folder of --tokens and make them
/// at the same time write the same bytes, each under a name of its own until it is whole: no lock is needed.
TokenSet tokens_of(const Settings& s, const std::string& folder, const Vqvae& tokenizer, const ImageDataset& images,
                   std::string& note) {
  const std::string path = cat(folder, "/tokens-", images.split(), ".h5");
  InputFiles(s.inputs).refuse_output(path, "give another folder with --tokens");
  if (!s.tokens.empty()) { check_cache_is_free(path, tokenizer, images); }
  Progress progress("tokens of " + images.split(), images.size(), "images");
  TokenSet tokens = cached_tokens(path, tokenizer, images, 0, [&](int64_t done, int64_t) {
    check_interrupt();
    if (done == 0 && !note.empty()) { progress.message(std::exchange(note, "")); }
    progress.update(done);
  });
  progress.finish();
  return tokens;
}

/// The cache of a split whose images are not here; it must be this tokenizer's.
TokenSet tokens_without_images(const std::string& path, const Vqvae& tokenizer) {
  TokenSet tokens = read_tokens(path);
  const std::string own = content_hash(tokenizer);
  if (tokens.tokenizer_hash != own) {
    throw ConfigError(cat(path, ": was made with tokenizer = ", tokens.tokenizer_hash, ", not ", own,
                          "; give --data, and the tokens are made anew"));
  }
  return tokens;
}

VarTrainingData load_tokens(const Settings& s, Vqvae& tokenizer, const std::optional<ImageDataset>& held_out) {
  const std::string folder = s.tokens.empty() ? s.common.out : s.tokens;
  make_folder(folder);
  std::string note;
  if (s.start.minutes > 0) {
    note = cat("the images are turned into tokens first, which is no part of the ", format_number(s.start.minutes),
               " minutes of --minutes");
  }
  const TokenSet train = s.data.empty() ? tokens_without_images(folder + "/tokens-train.h5", tokenizer)
                                        : tokens_of(s, folder, tokenizer, open_with_images(s.data, "train"), note);
  VarTrainingData data;
  data.indices = train.indices;
  data.labels = train.labels;
  data.class_names = train.class_names;
  data.tokenizer_hash = train.tokenizer_hash;
  const std::string cached = folder + "/tokens-test.h5";
  if (held_out || (s.data.empty() && std::filesystem::exists(cached))) {
    const TokenSet tokens =
        held_out ? tokens_of(s, folder, tokenizer, *held_out, note) : tokens_without_images(cached, tokenizer);
    data.held_out_indices = tokens.indices;
    data.held_out_labels = tokens.labels;
  }
  data.quantizer = &tokenizer.quantizer();
  return data;
}

/// The images that samples are compared with. Throws ConfigError where there are none.
ImageDataset held_out_or_train(const Settings& s, const std::optional<ImageDataset>& held_out) {
  if (s.data.empty()) { throw ConfigError("a Frechet distance needs images: give --data"); }
  return held_out ? *held_out : open_with_images(s.data, "train");
}

void parse(Options& options, Settings& s, int argc, char** argv) {
  s.common.out = "runs/var";
  declare(options, s);
  options.epilog(
      "The defaults are the small 32 px preset.\n"
      "  train_var --data procedural.h5 --tokenizer runs/vqvae/checkpoint.h5 --out runs/var\n"
      "  train_var --data procedural.h5 --tokenizer runs/vqvae/checkpoint.h5 --pe sinusoid-2d --pe-rms 0.03\n"
      "  train_var --data procedural.h5 --tokenizer runs/vqvae/checkpoint.h5 --out runs/var --resume --steps 3000\n"
      "  train_var --data procedural.h5 --tokenizer runs/vqvae/checkpoint.h5 --out runs/hour --minutes 60");
  options.parse(argc, argv);
  s.inputs = options.inputs();
}

/// The options that follow from others, from the tokenizer and from the number of classes.
void complete(Settings& s, const VqvaeConfig& tokenizer, size_t classes) {
  s.model.patch_nums = tokenizer.patch_nums;
  s.model.vocab_size = tokenizer.vocab_size;
  s.model.Cvae = tokenizer.z_channels;
  s.model.num_classes = static_cast<int64_t>(classes);
  s.training.seed = s.common.seed;
  s.training.recompute = s.recompute ? Recompute::kBlocks : Recompute::kNothing;
  s.training.dtype = dtype_from_name(s.dtype);
}

bool is_finished(const Settings& s, const VarTrainer& trainer, const RunLength& length) {
  return length.is_complete(trainer.steps_done()) && trainer.steps_done() == s.training.steps &&
         has_ended(s.common.out, s.training.steps);
}

/// The folder of a run, which the first rank alone looks at and writes into.
std::optional<OutputFolder> folder_of(const Settings& s, bool first_rank) {
  const IfThere rule = if_there(s.start.resume, s.start.overwrite);
  if (!first_rank) { return std::nullopt; }
  const std::string at = reached(s.training.checkpoint_path);
  return std::make_optional<OutputFolder>(s.common.out,
                                          OutputPlan{.program = "train_var",
                                                     .files = {"checkpoint.h5", "curves.csv", "curves.jsonl"},
                                                     .resumable = !at.empty(),
                                                     .reached = at,
                                                     .inputs = s.inputs},
                                          rule);
}

void check_ranks(const Settings& s) {
  if (s.ranks > s.training.batch) {
    throw ConfigError(cat("--ranks ", s.ranks, " are more than the ", s.training.batch,
                          " images of --batch; each computes one at least"));
  }
}

void refuse_what_cannot_be(const Settings& s) {
  if (s.data.empty() && s.tokens.empty()) {
    throw ConfigError("--data is missing: an image dataset; or give --tokens, the folder of token caches");
  }
  for (const UnreadOption& unread : unread_options(s.model.positions)) {
    throw ConfigError(cat("--", unread.option, " has no effect: ", unread.reason));
  }
}

void train(int argc, char** argv) {
  Settings s;
  Options options("train_var", "Trains a VAR transformer on the tokens of an image dataset.");
  parse(options, s, argc, argv);
  check_ranks(s);
  const std::unique_ptr<HostCommunicator> host = join_ranks(s.ranks);
  s.common.device = device_of_rank(s.common.device, host.get());
  s.common.threads = threads_of_rank(s.common.threads, host.get());
  const Device device = s.common.apply();
  const std::unique_ptr<Communicator> ranks = host == nullptr ? nullptr : make_communicator(device, *host);
  const bool first_rank = ranks == nullptr || ranks->rank() == 0;
  s.training.accumulate = std::max(s.training.accumulate, s.ranks);
  refuse_what_cannot_be(s);
  s.training.checkpoint_path = s.common.out + "/checkpoint.h5";
  std::optional<OutputFolder> folder = folder_of(s, first_rank);
  if (folder) { s.start.keep_init_from(folder->run_before()); }
  RunLength length(s.start, options.given("steps"), s.training.checkpoint_path, s.training.steps);
  RunRecord record("train_var", length.recorded(options, s.training.steps), s.common.seed);

  const std::unique_ptr<Vqvae> tokenizer = load_vqvae(s.tokenizer);
  tokenizer->to(device);
  std::optional<ImageDataset> held_out;
  if (!s.data.empty()) { held_out = open_held_out(s.data); }
  const auto load = [&] {
    if (!first_rank) { host->barrier(); }  // the first makes the tokens, the others read them
    VarTrainingData loaded = load_tokens(s, *tokenizer, held_out);
    if (host != nullptr && first_rank) { host->barrier(); }
    return loaded;
  };
  // Tokens are made last, which takes long: whatever is wrong with the model has been said by then.
  std::optional<VarTrainingData> data;
  if (s.data.empty()) { data = load(); }
  complete(s, tokenizer->config(), (data ? data->class_names : open_with_images(s.data, "train").class_names()).size());
  check_step_memory(s.model, s.training, s.ranks, device);
  Generator initial(s.common.seed, streams::kDefault);
  VarTransformer model(s.model, initial);
  if (!s.start.init_from.empty() && !s.start.resume) {
    load_initial_weights(s.start.init_from, model, content_hash(*tokenizer));
  }
  model.to(device);
  if (!data) { data = load(); }
  std::optional<VarTrainingReport> report;
  if (first_rank) {
    report.emplace(VarReportOptions{s.training, data->class_names, s.grid_images}, model, *tokenizer, *folder, record,
                   length);
    if (s.evaluator.images > 0) { report->measure_distance(held_out_or_train(s, held_out), s.evaluator); }
  }
  s.training.planned = s.start.minutes > 0;
  VarTrainer trainer(model, *data, s.training, report ? report->callbacks() : VarTrainCallbacks(), ranks.get());
  if (s.start.resume) { trainer.resume(s.training.checkpoint_path); }
  if (is_finished(s, trainer, length)) {
    std::printf("%s\n", nothing_left(s.training.checkpoint_path, s.training.steps).c_str());
    return;
  }
  if (report) { report->begin(trainer); }
  run_interruptibly(trainer);
  if (report) { report->finish(trainer, held_out ? held_out->split() : ""); }
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) {
  return terrace::run_program(
      argc, argv, [](int count, char** arguments) { terrace::as_rank([&] { terrace::train(count, arguments); }); });
}
