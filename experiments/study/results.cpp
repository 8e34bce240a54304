#include "experiments/study/results.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "data/files/atomic_file.h"
#include "data/files/json.h"
#include "data/hdf5/file.h"
#include "experiments/cli/run_record.h"
#include "experiments/study/comparison.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

// JSON has no NaN: what was not measured is null.
Json number(double v) { return std::isfinite(v) ? Json(v) : Json(); }
double number(const Json& v) { return v.is_null() ? kNotMeasured : v.get<double>(); }

/// The columns of a record that a run's result keeps, in the order of its JSON.
std::vector<RecordColumn<VarStepRecord>> kept_columns() {
  std::vector<RecordColumn<VarStepRecord>> kept;
  for (const Measured measured : {Measured::kAlways, Measured::kHeldOut, Measured::kTime}) {
    for (const RecordColumn<VarStepRecord>& column : record_columns<VarStepRecord>()) {
      if (column.measured == measured) { kept.push_back(column); }
    }
  }
  return kept;
}

Json record_json(const VarStepRecord& record) {
  Json j;
  for (const RecordColumn<VarStepRecord>& column : kept_columns()) {
    std::visit([&](auto member) { j[column.name] = record.*member; }, column.member);
  }
  return j;
}

VarStepRecord record_from(const Json& j) {
  VarStepRecord record;
  for (const RecordColumn<VarStepRecord>& column : kept_columns()) {
    // Results of earlier versions leave it out.
    if (std::string_view(column.name) == "held_out_images" && !j.contains(column.name)) { continue; }
    const Json& value = j.at(column.name);
    const auto read = [&]<class T>(T VarStepRecord::*member) {
      if constexpr (std::is_same_v<T, double>) {
        record.*member = number(value);
      } else {
        value.get_to(record.*member);
      }
    };
    std::visit(read, column.member);
  }
  return record;
}

Json tables_json(const std::vector<TableSummary>& tables) {
  Json list = Json::array();
  for (const TableSummary& t : tables) { list.push_back({{"name", t.name}, {"rms", t.rms}, {"learned", t.learned}}); }
  return list;
}

std::vector<TableSummary> tables_from(const Json& list) {
  std::vector<TableSummary> tables;
  for (const Json& t : list) { tables.push_back({t.at("name"), number(t.at("rms")), t.at("learned")}); }
  return tables;
}

Json origin_json(const StageOrigin& origin) {
  return {{"seconds", origin.seconds},
          {"version", origin.version},
          {"dataset_hash", origin.dataset_hash},
          {"tokenizer_hash", origin.tokenizer_hash},
          {"machine", origin.machine}};
}

StageOrigin origin_from(const Json& j) {
  return {.seconds = j.at("seconds"),
          .version = j.at("version"),
          .dataset_hash = j.at("dataset_hash"),
          .tokenizer_hash = j.at("tokenizer_hash"),
          .machine = j.at("machine")};
}

/// `pick` of the origin of every stage, each value once.
template <class F>
auto distinct(const StudyResults& results, const F& pick) {
  std::vector<decltype(pick(results.tokenizer.origin))> found;
  const auto note = [&](const StageOrigin& origin) {
    const auto value = pick(origin);
    if (std::find(found.begin(), found.end(), value) == found.end()) { found.push_back(value); }
  };
  note(results.tokenizer.origin);
  for (const StudyRun& run : results.runs) { note(run.origin); }
  return found;
}

/// A run's figures without its log.
Json figures_json(const StudyRun& run) {
  return {{"encoding", run.encoding},
          {"seed", run.seed},
          {"origin", origin_json(run.origin)},
          {"steps", run.steps},
          {"batch", run.batch},
          {"parameters", run.parameters},
          {"held_out_loss", number(run.held_out.loss)},
          {"held_out_accuracy", number(run.held_out.accuracy)},
          {"held_out_scale_loss", run.held_out.scale_loss},
          {"held_out_scale_accuracy", run.held_out.scale_accuracy},
          {"train_loss", number(run.train_loss)},
          {"own_class_share", number(run.own_share)},
          {"samples", run.drawn},
          {"frechet_distance", number(run.distance)},
          {"frechet_samples", run.distance_images},
          {"own_class_share_per_class", run.class_share},
          {"seconds_per_step", number(run.seconds_per_step)},
          {"step_seconds", number(run.step_seconds)},
          {"images_per_second", number(run.images_per_second())},
          {"sampled_images_per_second", number(run.sampled_per_second)},
          {"peak_bytes", run.peak_bytes},
          {"tables_at_start", tables_json(run.start)},
          {"tables_at_end", tables_json(run.end)}};
}

void write_optional(Hdf5File& file, const std::string& name, const Tensor& t) {
  if (t.defined()) { file.write(name, t); }
}

Tensor read_optional(const Hdf5File& file, const std::string& name) {
  return file.has(name) ? file.read(name) : Tensor();
}

Json stored_json(const Hdf5File& file) {
  const std::vector<std::string> text = file.read_strings("result");
  try {
    return parse_json(text.at(0));
  } catch (const std::exception&) {
    throw IoError(cat(file.path(), ": the stored result is no JSON; remove the file to run its stage again"));
  }
}

/// Runs `read` on the stored JSON; what is missing in it makes the file foreign.
template <class F>
void from_stored(const Hdf5File& file, const F& read) {
  const Json j = stored_json(file);
  try {
    read(j);
  } catch (const Json::exception&) {
    throw IoError(cat(file.path(), ": not a result of this program's version; remove it to run its stage again"));
  }
}

Json tokenizer_json(const StudyTokenizer& t) {
  return {{"origin", origin_json(t.origin)},
          {"steps", t.steps},
          {"parameters", t.parameters},
          {"held_out_psnr", number(t.psnr)},
          {"seconds_per_step", number(t.seconds_per_step)},
          {"step_seconds", number(t.step_seconds)},
          {"encoded_images_per_second", number(t.encoded_per_second)},
          {"codebook_usage", t.usage},
          {"codebook_perplexity", t.perplexity},
          {"codes_used", number(t.codes_used)},
          {"own_class_share_real", number(t.real_share)},
          {"own_class_share_reconstructed", number(t.reconstructed_share)},
          {"frechet_distance", number(t.distance)},
          {"frechet_name", t.distance_name},
          {"frechet_about", t.distance_about},
          {"frechet_reference_images", t.distance_images},
          {"log_step", t.log_step},
          {"log_loss", t.log_loss},
          {"log_psnr", t.log_psnr}};
}

Json spread_json(const std::vector<double>& values) {
  const Spread s = spread_of(values);
  return {{"mean", number(s.mean)}, {"sd", s.count > 1 ? number(s.sd) : Json()}, {"runs", s.count}};
}

}  // namespace

std::vector<std::string> StudyResults::encodings() const {
  std::vector<std::string> names;
  for (const StudyRun& run : runs) {
    if (std::find(names.begin(), names.end(), run.encoding) == names.end()) { names.push_back(run.encoding); }
  }
  return names;
}

std::vector<const StudyRun*> StudyResults::runs_of(const std::string& encoding) const {
  std::vector<const StudyRun*> found;
  for (const StudyRun& run : runs) {
    if (run.encoding == encoding) { found.push_back(&run); }
  }
  return found;
}

std::vector<std::string> StudyResults::versions() const {
  return distinct(*this, [](const StageOrigin& origin) { return origin.version; });
}

std::vector<Json> StudyResults::machines() const {
  return distinct(*this, [](const StageOrigin& origin) { return origin.machine; });
}

double StudyResults::step_share() const {
  double seconds = tokenizer.steps > 0 ? tokenizer.step_seconds : 0;
  for (const StudyRun& run : runs) { seconds += run.step_seconds; }
  return seconds / wall_seconds;
}

std::vector<std::string> StudyResults::scale_names() const {
  std::vector<std::string> names;
  for (const int64_t p : patch_nums) { names.push_back(std::to_string(p)); }
  return names;
}

void write_costs(const std::string& path, const StageCosts& costs) {
  Json records = Json::array();
  for (const auto& [step, cost] : costs.records) { records.push_back({step, number(cost.first), cost.second}); }
  write_file(path, checked_json_text({{"seconds", costs.seconds}, {"step_seconds_bytes", records}}, -1));
}

StageCosts read_costs(const std::string& path) {
  StageCosts costs;
  if (!std::filesystem::exists(path)) { return costs; }
  const CheckedJson read = read_checked_json(path, "remove it to go on without the times that it keeps");
  const Json& stored = read.value;
  if (!read.has_checksum) { note_without_checksum(path); }
  try {
    costs.seconds = stored.at("seconds");
    for (const Json& r : stored.at("step_seconds_bytes")) {
      costs.records[r.at(0).get<int64_t>()] = {number(r.at(1)), r.at(2).get<int64_t>()};
    }
  } catch (const Json::exception&) {
    throw IoError(cat(path, ": not the times of a run; remove it to go on without them"));
  }
  return costs;
}

void write_run(const std::string& path, const StudyRun& run) {
  Json j = figures_json(run);
  j["log"] = Json::array();
  for (const VarStepRecord& r : run.log) { j["log"].push_back(record_json(r)); }
  Hdf5File file = Hdf5File::create(path);
  file.write_strings("result", {json_text(j)});
  write_optional(file, "samples", run.samples);
  write_optional(file, "sample_labels", run.sample_labels);
  write_optional(file, "initial_table", run.initial_table);
  write_optional(file, "table", run.table);
  file.commit();
}

StudyRun read_run(const std::string& path) {
  const Hdf5File file = Hdf5File::open(path);
  StudyRun run;
  from_stored(file, [&](const Json& j) {
    run.encoding = j.at("encoding");
    run.seed = j.at("seed");
    run.origin = origin_from(j.at("origin"));
    run.drawn = j.at("samples");
    run.steps = j.at("steps");
    run.batch = j.at("batch");
    run.parameters = j.at("parameters");
    for (const Json& r : j.at("log")) { run.log.push_back(record_from(r)); }
    run.held_out.loss = number(j.at("held_out_loss"));
    run.held_out.accuracy = number(j.at("held_out_accuracy"));
    run.held_out.scale_loss = j.at("held_out_scale_loss").get<std::vector<double>>();
    run.held_out.scale_accuracy = j.at("held_out_scale_accuracy").get<std::vector<double>>();
    run.train_loss = number(j.at("train_loss"));
    run.own_share = number(j.at("own_class_share"));
    run.distance = number(j.at("frechet_distance"));
    run.distance_images = j.at("frechet_samples");
    run.class_share = j.at("own_class_share_per_class").get<std::vector<double>>();
    run.seconds_per_step = number(j.at("seconds_per_step"));
    run.step_seconds = number(j.value("step_seconds", Json()));  // earlier versions did not keep it
    run.sampled_per_second = number(j.at("sampled_images_per_second"));
    run.peak_bytes = j.at("peak_bytes");
    run.start = tables_from(j.at("tables_at_start"));
    run.end = tables_from(j.at("tables_at_end"));
  });
  run.samples = read_optional(file, "samples");
  run.sample_labels = read_optional(file, "sample_labels");
  run.initial_table = read_optional(file, "initial_table");
  run.table = read_optional(file, "table");
  return run;
}

void write_tokenizer_result(const std::string& path, const StudyTokenizer& tokenizer) {
  Hdf5File file = Hdf5File::create(path);
  file.write_strings("result", {json_text(tokenizer_json(tokenizer))});
  write_optional(file, "originals", tokenizer.originals);
  write_optional(file, "reconstructions", tokenizer.reconstructions);
  file.commit();
}

StudyTokenizer read_tokenizer_result(const std::string& path) {
  const Hdf5File file = Hdf5File::open(path);
  StudyTokenizer t;
  from_stored(file, [&](const Json& j) {
    t.origin = origin_from(j.at("origin"));
    t.steps = j.at("steps");
    t.parameters = j.at("parameters");
    t.psnr = number(j.at("held_out_psnr"));
    t.seconds_per_step = number(j.at("seconds_per_step"));
    t.step_seconds = number(j.value("step_seconds", Json()));
    t.encoded_per_second = number(j.at("encoded_images_per_second"));
    t.usage = j.at("codebook_usage").get<std::vector<double>>();
    t.perplexity = j.at("codebook_perplexity").get<std::vector<double>>();
    t.codes_used = number(j.at("codes_used"));
    t.real_share = number(j.at("own_class_share_real"));
    t.reconstructed_share = number(j.at("own_class_share_reconstructed"));
    t.distance = number(j.at("frechet_distance"));
    t.distance_name = j.at("frechet_name");
    t.distance_about = j.at("frechet_about");
    t.distance_images = j.at("frechet_reference_images");
    t.log_step = j.at("log_step").get<std::vector<double>>();
    t.log_loss = j.at("log_loss").get<std::vector<double>>();
    t.log_psnr = j.at("log_psnr").get<std::vector<double>>();
  });
  t.originals = read_optional(file, "originals");
  t.reconstructions = read_optional(file, "reconstructions");
  return t;
}

Json study_json(const StudyResults& results) {
  Json j;
  j["version"] = results.version;
  j["configuration"] = results.configuration;
  j["source"] = results.source;
  j["patch_nums"] = results.patch_nums;
  j["train_images"] = results.train_images;
  j["held_out_images"] = results.held_out_images;
  j["held_out_images_of_curves"] = results.curve_images;
  j["held_out_images_at_the_end"] = results.final_images;
  j["plan"] = results.plan;
  const std::string warning = shortness_warning(results);
  j["too_short"] = warning.empty() ? Json() : Json(warning);
  j["step_share"] = number(results.step_share());
  j["wall_seconds"] = results.wall_seconds;
  j["versions_of_stages"] = results.versions();
  j["tokenizer"] = tokenizer_json(results.tokenizer);
  j["encodings"] = Json::object();
  for (const std::string& encoding : results.encodings()) {
    const auto over_seeds = [&](auto figure) {
      std::vector<double> values;
      for (const StudyRun* run : results.runs_of(encoding)) { values.push_back(figure(*run)); }
      return spread_json(values);
    };
    j["encodings"][encoding] = {
        {"held_out_loss", over_seeds([](const StudyRun& r) { return r.held_out.loss; })},
        {"held_out_accuracy", over_seeds([](const StudyRun& r) { return r.held_out.accuracy; })},
        {"train_loss", over_seeds([](const StudyRun& r) { return r.train_loss; })},
        {"own_class_share", over_seeds([](const StudyRun& r) { return r.own_share; })},
        {"frechet_distance", over_seeds([](const StudyRun& r) { return r.distance; })},
        {"seconds_per_step", over_seeds([](const StudyRun& r) { return r.seconds_per_step; })},
        {"images_per_second", over_seeds([](const StudyRun& r) { return r.images_per_second(); })},
        {"peak_bytes", over_seeds([](const StudyRun& r) { return static_cast<double>(r.peak_bytes); })}};
  }
  j["runs"] = Json::array();
  for (const StudyRun& run : results.runs) { j["runs"].push_back(figures_json(run)); }
  j["machine"] = results.machine;
  j["libraries"] = results.libraries;
  return j;
}

}  // namespace terrace
