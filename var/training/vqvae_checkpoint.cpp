// The tokenizer's checkpoints:
//
//   /model/NAME  /optimizer/NAME  /average/NAME (with an EMA)  /codes/last_use  /log/*  /pending/*  /evaluations/*
//
// Attributes of the root: terrace_kind = "vqvae", terrace_version, config, training (JSON), step, dataset_hash,
// pending_steps; evaluation_due where the last record's evaluation threw. Nothing in the file depends on the clock.

#include "data/files/json_differences.h"
#include "data/hdf5/kind.h"
#include "var/training/option_json.h"
#include "var/training/step_log.h"
#include "var/training/vqvae_train_state.h"
#include "var/weights/checkpoint.h"

namespace terrace {

void VqvaeTrainer::save(const std::string& path) const {
  const State& s = *state_;
  Hdf5File file = Hdf5File::create(path);
  write_kind(file, "vqvae");
  file.write_attr_string("/", "config", to_text(s.model.config()));
  file.write_attr_string("/", "training",
                         json_text(options_to_json<SortedJson>(kVqvaeTrainFields, s.options, Stored::kUnlessDefault)));
  file.write_attr_string("/", "dataset_hash", s.train.content_hash());
  file.write_attr_int("/", "step", s.step);
  file.write_attr_int("/", "pending_steps", s.pending_steps);
  if (s.evaluation_due) { file.write_attr_int("/", "evaluation_due", 1); }
  write_state(file, "model", s.model.state());
  write_state(file, "optimizer", s.optimizer.state_dict());
  if (s.ema) { write_state(file, "average", s.ema->state()); }
  file.write("codes/last_use", s.clock.last_use());
  write_table(file, "log", s.log);
  write_table<VqvaeStepRecord>(file, "pending", {s.pending});
  write_table(file, "evaluations", s.evaluations);
  file.commit();
}

void VqvaeTrainer::resume(const std::string& path) {
  State& s = *state_;
  const Hdf5File file = Hdf5File::open(path);
  check_kind(file, "vqvae");
  const VqvaeConfig stored_model = vqvae_config_from_text(file.read_attr_string("/", "config"));
  const std::string model = json_differences(parse_json(to_text(stored_model)), parse_json(to_text(s.model.config())),
                                             option_names(kVqvaeModelOptions));
  if (!model.empty()) {
    throw ConfigError(cat(path, ": holds a tokenizer of ", model, "; resume with the same options"));
  }
  const Json stored = parse_json_if_valid(file.read_attr_string("/", "training"));
  if (!stored.is_object()) { throw IoError(cat(path, ": attribute training is not a JSON object")); }
  check_same_options(path, kVqvaeTrainFields, stored, s.options);
  check_steps_fit(path, file.read_attr_int("/", "step"), s.options.steps);
  if (file.read_attr_string("/", "dataset_hash") != s.train.content_hash()) {
    throw ConfigError(cat(path, ": was trained on other images than those of ", s.train.path()));
  }
  s.model.load_state(read_state(file, "model"));
  s.optimizer.load_state_dict(read_state(file, "optimizer"));
  if (s.ema) { s.ema->load_state(read_state(file, "average"), file.read_attr_int("/", "step")); }
  s.clock.last_use().copy_(file.read("codes/last_use", DType::kI64));
  s.step = file.read_attr_int("/", "step");
  s.loader.reset();
  s.log = read_table<VqvaeStepRecord>(file, "log");
  s.evaluations = read_table<VqvaeEvaluation>(file, "evaluations");
  for (VqvaeStepRecord& record : s.log) { s.complete_record(record); }
  const std::vector<VqvaeStepRecord> pending = read_table<VqvaeStepRecord>(file, "pending");
  s.pending = pending.empty() ? VqvaeStepRecord{} : pending[0];
  s.timed_steps = 0;
  s.evaluation_due = file.has_attr("/", "evaluation_due");
  s.pending_steps = file.read_attr_int("/", "pending_steps");
}

}  // namespace terrace
