// What the trainers log: one record every few steps, and for each kind of record one table of its members. The table is
// all that checkpoints (step_log.h), curves (curves.h) and the study's results know of a record: a figure is added here
// and where it is measured.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "tensor/base/error.h"

namespace terrace {

/// When a member of a record says something.
enum class Measured : uint8_t {
  kAlways,      // in every record of a model that has the quantity
  kTime,        // times and memory: not in checkpoints, which hold no clock; 0 where the record was read from one
  kHeldOut,     // at records that an evaluation on held-out images was due at
  kEvaluation,  // likewise; checkpoints keep it in the table of the evaluations, not in that of the records
  kCurves,      // in curves alone: what follows from the step, or what a program measures; negative where nothing was
};

/// How the records of single steps become one of several steps.
enum class Pooling : uint8_t {
  kLast,  // the last step's
  kMean,
  kSum,
  kOwn,  // computed from other members, or when the record is finished
};

template <class Record>
struct RecordColumn {
  using Member = std::variant<int64_t Record::*, double Record::*, std::vector<double> Record::*>;

  const char* name;  // in HDF5 and JSON
  Member member;
  /// The name of the CSV column; of a vector, one value per scale, the prefix of its columns. Null: not in CSVs.
  const char* csv = nullptr;
  Measured measured = Measured::kAlways;
  Pooling pooling = Pooling::kOwn;
};

/// One row of the transformer's log.
struct VarStepRecord {
  int64_t step = 0;  // steps done
  double epoch = 0;
  double loss = 0, accuracy = 0;  // means over tokens of this step
  std::vector<double> scale_loss, scale_accuracy;
  double lr = 0, weight_decay = 0, gradient_norm = 0;
  std::vector<double> position_gradient;          // (L) norm over channels of the gradient of what the encoding adds
  std::vector<double> scale_gradient;             // (S) the same per scale
  double start_gradient = 0, level_gradient = 0;  // pos_start's, lvl_embed's
  double held_out_loss = -1, held_out_accuracy = -1;  // negative: not measured at this step
  int64_t held_out_images = 0;                        // that these are means over
  std::vector<double> held_out_scale_loss;
  double frechet_distance = -1;  // of samples; negative: not measured at this step; not in checkpoints
  double seconds_per_step = 0;   // since the last record; not in checkpoints: 0 where the record was read from one
  int64_t peak_bytes = 0;        // of tensors; likewise

  bool has_held_out() const { return held_out_loss >= 0; }
};

/// One row of the tokenizer's log. Losses are means over the steps since the last record.
struct VqvaeStepRecord {
  int64_t step = 0;  // steps done
  double loss = 0, mse = 0, l1 = 0, edge = 0, vq_loss = 0;
  double psnr = 0;  // from mse
  double lr = 0, gradient_norm = 0;
  int64_t revived = 0;                    // codes moved since the last record
  std::vector<double> usage, perplexity;  // per scale, of the moving average of hits
  double codes_used = 0;                  // share of the codebook that some scale uses
  double seconds_per_step = 0;            // since the last record; not in checkpoints
  int64_t peak_bytes = 0;                 // of tensors; likewise
  double epoch = -1;                      // likewise: follows from the step
  // The evaluation after this step, where one was due: VqvaeEvaluation.
  int64_t held_out_images = 0;
  double held_out_mse = 0, held_out_psnr = 0, held_out_codes_used = 0;
  std::vector<double> held_out_usage, held_out_perplexity;
  double frechet_distance = -1;

  bool has_held_out() const { return held_out_images > 0; }
};

/// One evaluation of the tokenizer on held-out images.
struct VqvaeEvaluation {
  int64_t step = 0, images = 0;
  double mse = 0, psnr = 0;               // of clamped reconstructions; psnr of the mean squared error
  std::vector<double> usage, perplexity;  // per scale, over these images
  double codes_used = 0;
  double frechet_distance = -1;  // of reconstructions; negative: not measured; not in checkpoints
};

/// The table of a record's members, in the order of a CSV's columns.
template <class Record>
std::span<const RecordColumn<Record>> record_columns();
template <>
std::span<const RecordColumn<VarStepRecord>> record_columns();
template <>
std::span<const RecordColumn<VqvaeStepRecord>> record_columns();
template <>
std::span<const RecordColumn<VqvaeEvaluation>> record_columns();

/// The column of that name, which must be one.
template <class Record>
const RecordColumn<Record>& record_column(std::string_view name) {
  for (const RecordColumn<Record>& column : record_columns<Record>()) {
    if (column.name == name) { return column; }
  }
  throw IndexError(cat("records have no column ", name));
}

/// Adds a step's record to those before it, and divides the sum of `steps` of them into their mean. What is
/// Pooling::kOwn is left alone.
void add_step(VqvaeStepRecord& sum, const VqvaeStepRecord& step);
void divide_means(VqvaeStepRecord& sum, int64_t steps);
/// Puts the evaluation after a record's step into the record.
void attach(const VqvaeEvaluation& evaluation, VqvaeStepRecord& record);

}  // namespace terrace
