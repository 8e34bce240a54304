// The study's curves.csv.
#include "var/training/curves.h"
#include "experiments/study/results.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

/// What curves.csv holds of a record: a number, or a column per scale, named by a heading followed by the scale's side.
struct CurveColumn {
  const char* name;     // of step_record.h
  const char* heading;  // of a vector; null: the name
};
constexpr CurveColumn kCurveColumns[] = {{"step", nullptr},
                                         {"epoch", nullptr},
                                         {"loss", nullptr},
                                         {"accuracy", nullptr},
                                         {"held_out_loss", nullptr},
                                         {"held_out_accuracy", nullptr},
                                         {"lr", nullptr},
                                         {"gradient_norm", nullptr},
                                         {"seconds_per_step", nullptr},
                                         {"scale_loss", "loss_scale_"},
                                         {"scale_accuracy", "accuracy_scale_"},
                                         {"held_out_scale_loss", "held_out_loss_scale_"},
                                         {"scale_gradient", "table_gradient_scale_"}};

constexpr int kDigits = 6;

/// A record's fields, each after a comma; empty where nothing was measured.
std::string csv_fields(const VarStepRecord& record, size_t scales) {
  std::string text;
  for (const CurveColumn& curve : kCurveColumns) {
    const RecordColumn<VarStepRecord>& column = record_column<VarStepRecord>(curve.name);
    const bool measured = column.measured != Measured::kHeldOut || record.held_out_loss >= 0;
    const auto append = [&]<class T>(T VarStepRecord::*member) {
      if constexpr (std::is_same_v<T, std::vector<double>>) {
        const std::vector<double>& values = record.*member;
        for (size_t s = 0; s < scales; ++s) { text += "," + (s < values.size() ? csv_number(values[s], kDigits) : ""); }
      } else {
        text += "," + (measured ? csv_number(record.*member, kDigits) : "");
      }
    };
    std::visit(append, column.member);
  }
  return text;
}

}  // namespace

std::string study_csv(const StudyResults& results) {
  std::string text = "encoding,seed";
  for (const CurveColumn& curve : kCurveColumns) {
    if (curve.heading == nullptr) {
      text += cat(",", curve.name);
      continue;
    }
    for (const std::string& scale : results.scale_names()) { text += cat(",", curve.heading, scale); }
  }
  text += "\n";
  for (const StudyRun& run : results.runs) {
    for (const VarStepRecord& record : run.log) {
      text += cat(run.encoding, ",", run.seed, csv_fields(record, results.patch_nums.size()), "\n");
    }
  }
  return text;
}

}  // namespace terrace
