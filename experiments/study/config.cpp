#include "experiments/study/config.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "data/files/json_differences.h"
#include "experiments/cli/output_folder.h"
#include "tensor/base/error.h"
#include "tensor/base/names.h"
#include "var/positions/encodings.h"

namespace terrace {
namespace {

constexpr const char* kMatched = "@matched";
constexpr int64_t kRecords = 60, kEvaluations = 12, kCheckpoints = 4;  // over a run

constexpr const char* kChosenByMinutes[] = {"tokenizer-steps", "steps",   "train-images",
                                            "held-out-images", "samples", "frechet-images"};

int64_t every(int64_t steps, int64_t times) { return std::max<int64_t>(1, steps / times); }

/// "--a, --b, --c"
template <size_t N>
std::string option_list(const char* const (&names)[N]) {
  std::vector<std::string> options;
  for (const char* name : names) { options.push_back(cat("--", name)); }
  return join_names(options);
}

void declare_comparison(Options& options, StudyConfig& c) {
  options.group("What is compared");
  options.add("encodings", c.encodings,
              cat(join_names(encoding_names()), "; NAME", kMatched,
                  " scales a fixed table to the RMS that a learned one starts with"));
  options.add("seeds", c.seeds, "one run per encoding and seed; three or more allow a comparison");
  options.add("pe-scale", c.pe_scale, "factor on fixed tables").positive();
  options.add("pe-mix", c.mix, "weight of the learned part of " + join_names(mixing_encoding_names())).range(0, 1);
  options.add("level-embedding", c.level_embedding, "add one vector per scale");
}

}  // namespace

void StudyConfig::declare(Options& options) {
  options.add("data", data, "dataset made by prepare_data, with splits train and test")
      .positional()
      .input()
      .default_text("a generated set");
  declare_comparison(options, *this);
  options.group("Length");
  options
      .add("minutes", minutes,
           cat("minutes that all of it may take, about: chooses those of ", option_list(kChosenByMinutes),
               " that are not given, and how often and on how many images losses are measured; 0: chooses nothing"))
      .range(0, kMaxMinutes);
  options.add("tokenizer-steps", tokenizer_steps, "training steps of the tokenizer").at_least(1);
  options.add("steps", steps, "training steps of each transformer").at_least(1);
  options.group("Data");
  options
      .add("train-images", train_images,
           "images that the transformers train on, from the first; a tokenizer trained here sees the whole split; 0: "
           "all")
      .at_least(0);
  options.add("held-out-images", held_out_images, "images of the test split; 0: all").at_least(0);
  options.group("Tokenizer");
  options
      .add("tokenizer", tokenizer, "the folder of a run of train_vqvae to use, its checkpoint.h5, or official weights")
      .metavar("FILE|FOLDER")
      .input()
      .default_text("one is trained");
  options.add("tokenizer-batch", tokenizer_batch, "images per step").range(1, 1e9);
  options.add("tokenizer-lr", tokenizer_lr, "peak learning rate of AdamW").positive();
  options.add("ch", ch, "channels of its finest level").at_least(1);
  options
      .add("ch-mult", ch_mult,
           "channels of each level as a multiple of --ch; each level after the first halves the map")
      .at_least(1);
  options.add("z-channels", z_channels, "channels of the latent map").at_least(1);
  options.add("vocab", vocab, "codes of the codebook").at_least(2);
  options.add("patch-nums", patch_nums, "side of every scale in tokens, from coarse to fine").at_least(1);
  options.group("Transformer");
  options.add("depth", depth, "transformer blocks").at_least(1);
  options.add("embed-dim", embed_dim, "channels of a token (width)").at_least(4);
  options.add("heads", heads, "attention heads").at_least(1);
  options.add("batch", batch, "images per step").range(1, 1e9);
  options.add("lr", lr, "peak learning rate of AdamW").positive();
  options.add("weight-decay", weight_decay, "decoupled weight decay of AdamW, of matrices alone").at_least(0);
  options.group("Samples");
  options.add("samples", samples, "images per class").at_least(1).needs_each(64);
  options.add("cfg", cfg, "scale of classifier-free guidance at the last scale, rising linearly from 0; 0: none")
      .at_least(0);
  options.add("top-k", top_k, "top-k sampling: keep the k most probable codes; 0: all").at_least(0);
  options
      .add("top-p", top_p, "nucleus sampling: keep the most probable codes up to this cumulative probability; 0: all")
      .range(0, 1);
  evaluator.declare(options,
                    "samples, and held-out images, that a Frechet distance is measured on, at most; 0: none is");
  declare_overwrite(options, overwrite);
  options.add_common(common, "folder for the report, the tokenizer and the runs; a stopped study goes on from it");
}

void StudyConfig::note_given(const Options& options) {
  for (const char* name : kChosenByMinutes) {
    if (options.given(name)) { given.insert(name); }
  }
}

void StudyConfig::validate() const {
  if (common.out.empty()) { throw ConfigError("--out is missing: folder for the report"); }
  if (encodings.empty()) { throw ConfigError("--encodings must name at least one encoding"); }
  if (seeds.empty()) { throw ConfigError("--seeds must hold at least one seed"); }
  if (std::set<std::string>(encodings.begin(), encodings.end()).size() != encodings.size()) {
    throw ConfigError("--encodings holds a name twice");
  }
  if (std::set<uint64_t>(seeds.begin(), seeds.end()).size() != seeds.size()) {
    throw ConfigError("--seeds holds a seed twice");
  }
  for (const std::string& encoding : encodings) { transformer_config(encoding, tokenizer_config(), 1).validate(); }
  if (tokenizer.empty()) { tokenizer_config().validate(); }
  refuse_unread_options();
}

void StudyConfig::refuse_unread_options() const {
  const StudyConfig defaults;
  const auto refuse = [](const char* option, const std::string& reason) {
    throw ConfigError(cat("--", option, " has no effect: ", reason, "; leave it out"));
  };
  if (!tokenizer.empty()) {
    const char* reason = "--tokenizer gives a trained tokenizer";
    if (tokenizer_steps != defaults.tokenizer_steps) { refuse("tokenizer-steps", reason); }
    if (tokenizer_batch != defaults.tokenizer_batch) { refuse("tokenizer-batch", reason); }
    if (tokenizer_lr != defaults.tokenizer_lr) { refuse("tokenizer-lr", reason); }
    if (ch != defaults.ch) { refuse("ch", reason); }
    if (ch_mult != defaults.ch_mult) { refuse("ch-mult", reason); }
    if (z_channels != defaults.z_channels) { refuse("z-channels", reason); }
    if (vocab != defaults.vocab) { refuse("vocab", reason); }
    if (patch_nums != defaults.patch_nums) { refuse("patch-nums", reason); }
  }
  const auto none_reads = [&](const std::string& option) {
    return std::all_of(encodings.begin(), encodings.end(), [&](const std::string& encoding) {
      const std::vector<UnreadOption> unread = unread_options(positions(encoding));
      return std::any_of(unread.begin(), unread.end(), [&](const UnreadOption& u) { return u.option == option; });
    });
  };
  if (none_reads("pe-scale")) { refuse("pe-scale", "no encoding has a fixed table of free size"); }
  if (none_reads("pe-mix")) { refuse("pe-mix", "no encoding is " + join_names(mixing_encoding_names(), " or ")); }
}

double learned_table_rms(int64_t embed_dim) { return std::sqrt(1.0 / (3.0 * static_cast<double>(embed_dim))); }

PositionalConfig positional_from_text(const std::string& text, int64_t embed_dim) {
  PositionalConfig positions;
  const size_t at = text.find('@');
  positions.kind = find_encoding(text.substr(0, at)).name;
  if (at == std::string::npos) { return positions; }
  if (text.substr(at) != kMatched) {
    throw ConfigError(cat("encoding '", text, "': after a name only ", kMatched, " may follow"));
  }
  if (!find_encoding(positions.kind).has_fixed_table) {
    throw ConfigError(cat("encoding '", text, "': ", positions.kind, " has no fixed table to scale"));
  }
  positions.rms = learned_table_rms(embed_dim);
  return positions;
}

PositionalConfig StudyConfig::positions(const std::string& encoding) const {
  PositionalConfig config = positional_from_text(encoding, embed_dim);
  config.learned_weight = mix;
  config.scale = pe_scale;
  config.level_embedding = level_embedding;
  return config;
}

VqvaeConfig StudyConfig::tokenizer_config() const {
  VqvaeConfig config = vqvae_preset32();
  config.ch = ch;
  config.ch_mult = ch_mult;
  config.z_channels = z_channels;
  config.vocab_size = vocab;
  config.patch_nums = patch_nums;
  return config;
}

VqvaeTrainOptions StudyConfig::tokenizer_training(int64_t training_steps) const {
  VqvaeTrainOptions training;
  training.steps = training_steps;
  training.batch = tokenizer_batch;
  training.lr = tokenizer_lr;
  training.warmup = std::min<int64_t>(training.warmup, training_steps / 10);
  training.log_every = every(training_steps, kRecords);
  training.checkpoint_every = every(training_steps, kCheckpoints);
  training.seed = common.seed;
  return training;
}

VarConfig StudyConfig::transformer_config(const std::string& encoding, const VqvaeConfig& codes,
                                          int64_t classes) const {
  VarConfig config = var_preset32();
  config.depth = depth;
  config.embed_dim = embed_dim;
  config.num_heads = heads;
  config.patch_nums = codes.patch_nums;
  config.vocab_size = codes.vocab_size;
  config.Cvae = codes.z_channels;
  config.num_classes = classes;
  config.positions = positions(encoding);
  return config;
}

VarTrainOptions StudyConfig::transformer_training(int64_t training_steps, uint64_t seed) const {
  VarTrainOptions training;
  training.steps = training_steps;
  training.batch = batch;
  training.lr = lr;
  training.weight_decay = weight_decay;
  training.warmup_share = 0.05;
  training.seed = seed;
  training.log_every = every(training_steps, kRecords);
  training.evaluate_every = evaluate_every > 0 ? evaluate_every : every(training_steps, kEvaluations);
  training.evaluate_images = curve_images;
  training.checkpoint_every = every(training_steps, kCheckpoints);
  return training;
}

void require_same_study(const Json& stored, const Json& own, const std::string& folder) {
  Json there = stored, here = own;
  for (const char* free : {"encodings", "seeds", "out", "threads", "device"}) {
    there.erase(free);
    here.erase(free);
  }
  const std::string differences = json_differences(there, here);
  if (differences.empty()) { return; }
  throw ConfigError(cat(folder, " holds a study with ", differences,
                        "; add --overwrite to replace it, or give "
                        "another folder with --out"));
}

}  // namespace terrace
