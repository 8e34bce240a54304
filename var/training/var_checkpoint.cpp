// Checkpoints of the transformer's training: everything that a run goes on from, and its log.
#include <sstream>

#include "data/files/json_differences.h"
#include "data/hdf5/file.h"
#include "data/hdf5/kind.h"
#include "var/training/option_json.h"
#include "var/training/step_log.h"
#include "var/training/var_trainer.h"
#include "var/weights/checkpoint.h"

namespace terrace {
namespace {

void hash_values(uint64_t& hash, const Tensor& t) {
  const auto* values = t.data<int64_t>();
  for (int64_t i = 0; i < t.numel(); ++i) { hash = (hash ^ static_cast<uint64_t>(values[i])) * 0x100000001b3u; }
}

/// The JSON that an attribute of the root holds.
Json stored_json(const Hdf5File& file, const char* attribute) {
  Json stored = parse_json_if_valid(file.read_attr_string("/", attribute));
  if (!stored.is_object()) { throw IoError(cat(file.path(), ": attribute ", attribute, " is not a JSON object")); }
  return stored;
}

}  // namespace

std::string VarTrainer::data_hash() const {
  uint64_t hash = 0xcbf29ce484222325u;
  hash_values(hash, data_.indices);
  hash_values(hash, data_.labels);
  std::ostringstream text;
  text << std::hex << hash;
  return text.str();
}

void VarTrainer::save(const std::string& path) const {
  Hdf5File file = Hdf5File::create(path);
  write_kind(file, "var");
  file.write_attr_string("/", "config", to_text(model_.config()));
  file.write_attr_string("/", "training", to_text(options_));
  file.write_attr_string("/", "data_hash", data_hash());
  file.write_attr_string("/", "tokenizer_hash", data_.tokenizer_hash);
  file.write_attr_int("/", "step", step_);
  // Where the draws and the data stand: both streams are functions of the seed and the step.
  file.write_attr_int("/", "seed", static_cast<int64_t>(options_.seed));
  file.write_attr_int("/", "images_seen", step_ * options_.batch);
  if (evaluation_due_) { file.write_attr_int("/", "evaluation_due", 1); }
  if (!data_.class_names.empty()) { file.write_strings("class_names", data_.class_names); }
  write_state(file, "model", model_.state());
  write_state(file, "optimizer", optimizer_.state_dict());
  write_state(file, "initial", initial_tables_);
  write_var_log(file, log_);
  file.commit();
}

void VarTrainer::resume(const std::string& path) {
  const Hdf5File file = Hdf5File::open(path);
  check_kind(file, "var");
  const std::string model = json_differences(Json(var_config_from_text(file.read_attr_string("/", "config"))),
                                             Json(model_.config()), option_names(kVarModelOptions));
  if (!model.empty()) { throw ConfigError(cat(path, ": holds a model of ", model, "; resume with the same options")); }
  check_same_options(path, kVarTrainFields, stored_json(file, "training"), options_);
  if (file.read_attr_string("/", "data_hash") != data_hash()) {
    const Json there = {{"tokenizer", file.read_attr_string("/", "tokenizer_hash")}};
    const std::string tokenizer = json_differences(there, {{"tokenizer", data_.tokenizer_hash}});
    throw ConfigError(cat(path, ": was trained on other tokens", tokenizer.empty() ? "" : ", those of ", tokenizer,
                          "; resume with the same ", tokenizer.empty() ? "images" : "tokenizer"));
  }
  check_steps_fit(path, file.read_attr_int("/", "step"), options_.steps);
  model_.load_state(read_state(file, "model"));
  copies_.refresh();
  optimizer_.load_state_dict(read_state(file, "optimizer"));
  initial_tables_ = read_state(file, "initial");
  log_ = read_var_log(file);
  evaluation_due_ = file.has_attr("/", "evaluation_due");
  step_ = file.read_attr_int("/", "step");
}

}  // namespace terrace
