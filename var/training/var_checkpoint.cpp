// Checkpoints of the transformer's training: everything that a run goes on from, and its log.
#include <sstream>

#include "data/hdf5/file.h"
#include "data/hdf5/kind.h"
#include "var/training/step_log.h"
#include "var/training/var_trainer.h"
#include "var/weights/checkpoint.h"

namespace terrace {
namespace {

void hash_values(uint64_t& hash, const Tensor& t) {
  const auto* values = t.data<int64_t>();
  for (int64_t i = 0; i < t.numel(); ++i) { hash = (hash ^ static_cast<uint64_t>(values[i])) * 0x100000001b3u; }
}

void require_same(const std::string& path, const char* what, const std::string& stored, const std::string& own) {
  if (stored != own) {
    throw ConfigError(cat(path, ": was made with another ", what, ":\n  there ", stored, "\n  here  ", own));
  }
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
  require_same(path, "model", file.read_attr_string("/", "config"), to_text(model_.config()));
  require_same(path, "set of training options", file.read_attr_string("/", "training"), to_text(options_));
  require_same(path, "set of tokens", file.read_attr_string("/", "data_hash"), data_hash());
  model_.load_state(read_state(file, "model"));
  copies_.refresh();
  optimizer_.load_state_dict(read_state(file, "optimizer"));
  initial_tables_ = read_state(file, "initial");
  log_ = read_var_log(file);
  step_ = file.read_attr_int("/", "step");
}

}  // namespace terrace
