// What a study measured: filled by the stages, kept in their folders, shown by the report.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "data/files/json.h"
#include "tensor/tensor.h"
#include "var/positions/encoding.h"
#include "var/training/var_trainer.h"

namespace terrace {

inline constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

/// When, where and on what a stage ran: a study that goes on later may do so with another program or machine.
struct StageOrigin {
  double seconds = 0;  // spent on it, all sessions together
  std::string version, dataset_hash, tokenizer_hash;
  Json machine;
};

/// One transformer: an encoding and a seed.
struct StudyRun {
  std::string encoding;
  uint64_t seed = 0;
  StageOrigin origin;
  int64_t steps = 0, batch = 0, parameters = 0;
  std::vector<VarStepRecord> log;
  HeldOut held_out;                  // at the end
  double train_loss = kNotMeasured;  // mean of the last tenth of the records
  double seconds_per_step = kNotMeasured, sampled_per_second = kNotMeasured;
  double step_seconds = kNotMeasured;  // of origin.seconds, in training steps
  int64_t peak_bytes = 0;              // of tensors in training, beyond what was live before (tokenizer, tokens)
  int64_t drawn = 0;                   // samples that own_share is measured on
  std::vector<TableSummary> start, end;
  double own_share = kNotMeasured;  // of samples in which the data's rule finds their class
  std::vector<double> class_share;  // the same per class
  double distance = kNotMeasured;   // StudyTokenizer::distance_name, of samples to held-out images
  int64_t distance_images = 0;      // samples that it is measured on
  Tensor samples, sample_labels;    // u8 (n, H, W, 3), i64 (n): the first few of each class
  Tensor initial_table, table;      // (L, C) as added; undefined for none

  double images_per_second() const { return static_cast<double>(batch) / seconds_per_step; }
};

struct StudyTokenizer {
  StageOrigin origin;
  int64_t steps = 0, parameters = 0;
  double psnr = kNotMeasured;  // held out
  double seconds_per_step = kNotMeasured, encoded_per_second = kNotMeasured;
  double step_seconds = kNotMeasured;  // of origin.seconds, in training steps
  std::vector<double> log_step, log_loss, log_psnr;
  std::vector<double> usage, perplexity;                                 // per scale, over the training set's tokens
  double codes_used = kNotMeasured;                                      // share of the codebook that any scale used
  double real_share = kNotMeasured, reconstructed_share = kNotMeasured;  // in which the rule finds the label
  // A Frechet distance to held-out images: of their reconstructions, which is the floor of what a transformer reaches.
  double distance = kNotMeasured;
  std::string distance_name, distance_about;
  int64_t distance_images = 0;        // in the reference
  Tensor originals, reconstructions;  // u8 (n, H, W, 3), held out
};

struct StudyResults {
  Json configuration, machine, libraries;
  std::string version, source;
  std::vector<std::string> class_names;
  std::vector<int64_t> patch_nums;
  int64_t train_images = 0, held_out_images = 0, embed_dim = 0;
  int64_t curve_images = 0;    // held-out images that the losses during training are measured on
  int64_t final_images = 0;    // held-out images that the losses at the end are measured on
  Json plan = Json::object();  // what was chosen before training, by --minutes or as given
  double wall_seconds = 0;     // of all stages, in all sessions
  StudyTokenizer tokenizer;
  std::vector<StudyRun> runs;  // encodings in the order given, seeds within

  std::vector<std::string> encodings() const;
  std::vector<const StudyRun*> runs_of(const std::string& encoding) const;
  /// Different versions of the program that stages were run with, in the order of the stages; likewise machines.
  std::vector<std::string> versions() const;
  std::vector<Json> machines() const;
  std::vector<std::string> scale_names() const;  // "1", "2", ... the sides
  /// Share of wall_seconds that were training steps, of the tokenizer and all runs; NaN where it was not measured.
  double step_share() const;
};

/// Seconds and bytes of a run's records by step, kept beside its checkpoint, which holds no clock.
struct StageCosts {
  double seconds = 0;  // of the stage so far
  std::map<int64_t, std::pair<double, int64_t>> records;
};
void write_costs(const std::string& path, const StageCosts& costs);
/// Nothing where the file does not exist. Throws as read_checked_json, IoError where it is foreign.
StageCosts read_costs(const std::string& path);

/// One HDF5 file per stage, complete or absent.
void write_run(const std::string& path, const StudyRun& run);
StudyRun read_run(const std::string& path);  // throws IoError
void write_tokenizer_result(const std::string& path, const StudyTokenizer& tokenizer);
StudyTokenizer read_tokenizer_result(const std::string& path);

/// results.json: every figure of the report, per run and as mean and deviation over seeds.
Json study_json(const StudyResults& results);
/// curves.csv: a row per record.
std::string study_csv(const StudyResults& results);

}  // namespace terrace
