// Checkpoints of the transformer's training: everything that a run goes on from, and its log.
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/hdf5/file.h"
#include "data/hdf5/kind.h"
#include "var/training/var_trainer.h"
#include "var/weights/checkpoint.h"

namespace terrace {
namespace {

void hash_values(uint64_t& hash, const Tensor& t) {
  const auto* values = t.data<int64_t>();
  for (int64_t i = 0; i < t.numel(); ++i) { hash = (hash ^ static_cast<uint64_t>(values[i])) * 0x100000001b3u; }
}

/// A scalar of the log: its dataset and its member.
struct LogColumn {
  const char* name;
  double VarStepRecord::*member;
};
constexpr LogColumn kLogColumns[] = {{"epoch", &VarStepRecord::epoch},
                                     {"loss", &VarStepRecord::loss},
                                     {"accuracy", &VarStepRecord::accuracy},
                                     {"lr", &VarStepRecord::lr},
                                     {"weight_decay", &VarStepRecord::weight_decay},
                                     {"gradient_norm", &VarStepRecord::gradient_norm},
                                     {"start_gradient", &VarStepRecord::start_gradient},
                                     {"level_gradient", &VarStepRecord::level_gradient},
                                     {"held_out_loss", &VarStepRecord::held_out_loss},
                                     {"held_out_accuracy", &VarStepRecord::held_out_accuracy}};
struct LogRows {
  const char* name;
  std::vector<double> VarStepRecord::*member;
};
constexpr LogRows kLogRows[] = {{"scale_loss", &VarStepRecord::scale_loss},
                                {"scale_accuracy", &VarStepRecord::scale_accuracy},
                                {"scale_gradient", &VarStepRecord::scale_gradient},
                                {"position_gradient", &VarStepRecord::position_gradient},
                                {"held_out_scale_loss", &VarStepRecord::held_out_scale_loss}};

void write_log(Hdf5File& file, const std::vector<VarStepRecord>& log) {
  const auto R = static_cast<int64_t>(log.size());
  std::vector<int64_t> steps;
  for (const VarStepRecord& record : log) { steps.push_back(record.step); }
  file.write("log/step", Tensor::from(steps, {R}));
  std::vector<int64_t> images;
  for (const VarStepRecord& record : log) { images.push_back(record.held_out_images); }
  file.write("log/held_out_images", Tensor::from(images, {R}));
  for (const LogColumn& column : kLogColumns) {
    std::vector<double> values;
    for (const VarStepRecord& record : log) { values.push_back(record.*column.member); }
    file.write(cat("log/", column.name), Tensor::from(values, {R}));
  }
  for (const LogRows& rows : kLogRows) {
    size_t width = 0;
    for (const VarStepRecord& record : log) { width = std::max(width, (record.*rows.member).size()); }
    std::vector<double> values;
    for (const VarStepRecord& record : log) {
      std::vector<double> row = record.*rows.member;
      row.resize(width, -1);  // -1: not measured at this step
      values.insert(values.end(), row.begin(), row.end());
    }
    file.write(cat("log/", rows.name), Tensor::from(values, {R, static_cast<int64_t>(width)}));
  }
}

std::vector<VarStepRecord> read_log(const Hdf5File& file) {
  const std::vector<int64_t> steps = file.read("log/step").to_vector<int64_t>();
  std::vector<VarStepRecord> log(steps.size());
  const std::vector<int64_t> images = file.read("log/held_out_images").to_vector<int64_t>();
  for (size_t r = 0; r < log.size(); ++r) {
    log[r].step = steps[r];
    log[r].held_out_images = images.at(r);
  }
  for (const LogColumn& column : kLogColumns) {
    const std::vector<double> values = file.read(cat("log/", column.name)).to_vector<double>();
    for (size_t r = 0; r < log.size(); ++r) { log[r].*column.member = values.at(r); }
  }
  for (const LogRows& rows : kLogRows) {
    const Tensor table = file.read(cat("log/", rows.name));
    for (size_t r = 0; r < log.size() && table.dim(1) > 0; ++r) {
      std::vector<double> row = table.select(0, static_cast<int64_t>(r)).to_vector<double>();
      const bool measured = row.front() != -1;
      if (measured) { log[r].*rows.member = std::move(row); }
    }
  }
  return log;
}

void require_same(const std::string& path, const char* what, const std::string& stored, const std::string& own) {
  if (stored != own) {
    throw ConfigError(cat(path, ": was made with another ", what, ":\n  there ", stored, "\n  here  ", own));
  }
}

}  // namespace

std::string to_text(const VarTrainOptions& o) {
  nlohmann::ordered_json text{{"steps", o.steps},
                              {"batch", o.batch},
                              {"accumulate", o.accumulate},
                              {"lr", o.lr},
                              {"weight_decay", o.weight_decay},
                              {"weight_decay_end", o.weight_decay_end},
                              {"schedule", o.schedule},
                              {"warmup_share", o.warmup_share},
                              {"warmup_start", o.warmup_start},
                              {"final_lr", o.final_lr},
                              {"beta1", o.beta1},
                              {"beta2", o.beta2},
                              {"clip", o.clip},
                              {"label_smoothing", o.label_smoothing},
                              {"seed", o.seed},
                              {"log_every", o.log_every},
                              {"evaluate_every", o.evaluate_every},
                              {"evaluate_images", o.evaluate_images}};
  if (o.dtype != DType::kF32) {
    text["dtype"] = cat(o.dtype);  // f32 is not written: runs from before there was a choice
  }
  return text.dump();
}

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
  write_log(file, log_);
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
  log_ = read_log(file);
  step_ = file.read_attr_int("/", "step");
}

}  // namespace terrace
