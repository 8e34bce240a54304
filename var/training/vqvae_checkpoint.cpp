// The tokenizer's checkpoints:
//
//   /model/NAME  /optimizer/NAME  /average/NAME (with an EMA)  /codes/last_use  /log/*  /pending/*  /evaluations/*
//
// Attributes of the root: terrace_kind = "vqvae", terrace_version, config, training (JSON), step, dataset_hash.
// Nothing in the file depends on the clock.
#include <nlohmann/json.hpp>

#include "data/hdf5/kind.h"
#include "var/training/vqvae_train_state.h"
#include "var/weights/checkpoint.h"

namespace terrace {
namespace {

// What decides the course of a training: a checkpoint is resumed only where all of it agrees.
template <class F>
void visit_course(const VqvaeTrainOptions& o, F&& f) {
  f("steps", o.steps);
  f("batch", o.batch);
  f("lr", o.lr);
  f("final_lr", o.final_lr);
  f("warmup", o.warmup);
  f("beta1", o.beta1);
  f("beta2", o.beta2);
  f("weight_decay", o.weight_decay);
  f("clip", o.clip);
  f("l1_weight", o.l1_weight);
  f("edge_weight", o.edge_weight);
  f("vq_weight", o.vq_weight);
  f("ema_decay", o.ema_decay);
  f("init_iterations", o.init_iterations);
  f("revive_after", o.revive_after);
  f("seed", o.seed);
}

nlohmann::json course_of(const VqvaeTrainOptions& options) {
  nlohmann::json j = nlohmann::json::object();
  visit_course(options, [&](const char* key, const auto& value) { j[key] = value; });
  return j;
}

void check_course(const std::string& path, const nlohmann::json& stored, const nlohmann::json& wanted) {
  for (const auto& item : wanted.items()) {
    if (!stored.contains(item.key()) || stored.at(item.key()) != item.value()) {
      throw ConfigError(cat(path, ": was trained with ", item.key(), " = ",
                            stored.contains(item.key()) ? stored.at(item.key()).dump() : "nothing", ", not ",
                            item.value().dump(), "; resume with the same options"));
    }
  }
}

// The columns of the log. Times stay out.
template <class Record>
std::vector<double*> columns(Record& r) {
  return {&r.loss, &r.mse, &r.l1, &r.edge, &r.vq_loss, &r.psnr, &r.lr, &r.gradient_norm, &r.codes_used};
}

// Rows of doubles, written as one dataset (rows, columns); nothing where there are none.
class Table {
 public:
  void add(const std::vector<double>& row) { rows_.push_back(row); }
  void write(Hdf5File& file, const std::string& name) const {
    if (rows_.empty() || rows_[0].empty()) { return; }
    std::vector<double> flat;
    for (const auto& row : rows_) { flat.insert(flat.end(), row.begin(), row.end()); }
    file.write(name, Tensor::from(flat, {static_cast<int64_t>(rows_.size()), static_cast<int64_t>(rows_[0].size())}));
  }
  static std::vector<std::vector<double>> read(const Hdf5File& file, const std::string& name) {
    std::vector<std::vector<double>> rows;
    if (!file.has(name)) { return rows; }
    const Tensor t = file.read(name, DType::kF64);
    check_ndim(t, 2, "checkpoint", name.c_str());
    for (int64_t i = 0; i < t.dim(0); ++i) { rows.push_back(t.select(0, i).to_vector<double>()); }
    return rows;
  }

 private:
  std::vector<std::vector<double>> rows_;
};

void write_log(Hdf5File& file, const std::string& group, const std::vector<VqvaeStepRecord>& log) {
  Table values, usage, perplexity;
  for (VqvaeStepRecord r : log) {
    std::vector<double> row = {static_cast<double>(r.step), static_cast<double>(r.revived)};
    for (const double* value : columns(r)) { row.push_back(*value); }
    values.add(row);
    usage.add(r.usage);
    perplexity.add(r.perplexity);
  }
  values.write(file, group + "/values");
  usage.write(file, group + "/usage");
  perplexity.write(file, group + "/perplexity");
}

std::vector<VqvaeStepRecord> read_log(const Hdf5File& file, const std::string& group) {
  const auto values = Table::read(file, group + "/values");
  const auto usage = Table::read(file, group + "/usage");
  const auto perplexity = Table::read(file, group + "/perplexity");
  std::vector<VqvaeStepRecord> log;
  for (size_t i = 0; i < values.size(); ++i) {
    VqvaeStepRecord r;
    const std::vector<double*> targets = columns(r);
    if (values[i].size() != targets.size() + 2) {
      throw IoError(cat(file.path(), ": ", group, "/values: wrong width"));
    }
    r.step = static_cast<int64_t>(values[i][0]);
    r.revived = static_cast<int64_t>(values[i][1]);
    for (size_t c = 0; c < targets.size(); ++c) { *targets[c] = values[i][c + 2]; }
    if (i < usage.size()) { r.usage = usage[i]; }
    if (i < perplexity.size()) { r.perplexity = perplexity[i]; }
    log.push_back(r);
  }
  return log;
}

void write_evaluations(Hdf5File& file, const std::vector<VqvaeEvaluation>& evaluations) {
  Table values, usage, perplexity;
  for (const VqvaeEvaluation& e : evaluations) {
    values.add({static_cast<double>(e.step), static_cast<double>(e.images), e.mse, e.psnr, e.codes_used});
    usage.add(e.usage);
    perplexity.add(e.perplexity);
  }
  values.write(file, "evaluations/values");
  usage.write(file, "evaluations/usage");
  perplexity.write(file, "evaluations/perplexity");
}

std::vector<VqvaeEvaluation> read_evaluations(const Hdf5File& file) {
  const auto values = Table::read(file, "evaluations/values");
  const auto usage = Table::read(file, "evaluations/usage");
  const auto perplexity = Table::read(file, "evaluations/perplexity");
  std::vector<VqvaeEvaluation> evaluations;
  for (size_t i = 0; i < values.size() && values[i].size() == 5; ++i) {
    VqvaeEvaluation e;
    e.step = static_cast<int64_t>(values[i][0]);
    e.images = static_cast<int64_t>(values[i][1]);
    e.mse = values[i][2];
    e.psnr = values[i][3];
    e.codes_used = values[i][4];
    if (i < usage.size()) { e.usage = usage[i]; }
    if (i < perplexity.size()) { e.perplexity = perplexity[i]; }
    evaluations.push_back(e);
  }
  return evaluations;
}

}  // namespace

void VqvaeTrainer::save(const std::string& path) const {
  const State& s = *state_;
  Hdf5File file = Hdf5File::create(path);
  write_kind(file, "vqvae");
  file.write_attr_string("/", "config", to_text(s.model.config()));
  file.write_attr_string("/", "training", course_of(s.options).dump());
  file.write_attr_string("/", "dataset_hash", s.train.content_hash());
  file.write_attr_int("/", "step", s.step);
  file.write_attr_int("/", "pending_steps", s.pending_steps);
  write_state(file, "model", s.model.state());
  write_state(file, "optimizer", s.optimizer.state_dict());
  if (s.ema) { write_state(file, "average", s.ema->state()); }
  file.write("codes/last_use", s.clock.last_use());
  write_log(file, "log", s.log);
  write_log(file, "pending", {s.pending});
  write_evaluations(file, s.evaluations);
  file.commit();
}

void VqvaeTrainer::resume(const std::string& path) {
  State& s = *state_;
  const Hdf5File file = Hdf5File::open(path);
  check_kind(file, "vqvae");
  if (vqvae_config_from_text(file.read_attr_string("/", "config")) != s.model.config()) {
    throw ConfigError(
        cat(path, ": holds a tokenizer of another configuration: ", file.read_attr_string("/", "config")));
  }
  const nlohmann::json stored = nlohmann::json::parse(file.read_attr_string("/", "training"), nullptr, false);
  if (!stored.is_object()) { throw IoError(cat(path, ": attribute training is not JSON")); }
  check_course(path, stored, course_of(s.options));
  if (file.read_attr_string("/", "dataset_hash") != s.train.content_hash()) {
    throw ConfigError(cat(path, ": was trained on other images than those of ", s.train.path()));
  }
  s.model.load_state(read_state(file, "model"));
  s.optimizer.load_state_dict(read_state(file, "optimizer"));
  if (s.ema) { s.ema->load_state(read_state(file, "average"), file.read_attr_int("/", "step")); }
  s.clock.last_use().copy_(file.read("codes/last_use", DType::kI64));
  s.step = file.read_attr_int("/", "step");
  s.loader.reset();
  s.log = read_log(file, "log");
  s.evaluations = read_evaluations(file);
  const std::vector<VqvaeStepRecord> pending = read_log(file, "pending");
  s.pending = pending.empty() ? VqvaeStepRecord{} : pending[0];
  s.timed_steps = 0;
  s.pending_steps = file.read_attr_int("/", "pending_steps");
}

}  // namespace terrace
