#include "var/training/var_train_options.h"

#include <cmath>

#include "data/files/json.h"
#include "var/training/option_json.h"

namespace terrace {

std::string to_text(const VarTrainOptions& options) {
  return json_text(options_to_json<Json>(kVarTrainFields, options, Stored::kUnlessDefault));
}

void check_options(const VarTrainOptions& o) {
  check_rules(kVarTrainFields, o, "VAR training: ", " ");
  if (o.accumulate < 1 || o.accumulate > o.batch) {
    throw ConfigError(cat("VAR training: accumulate must be between 1 and batch, got ", o.accumulate));
  }
  if (o.dtype != DType::kF32 && o.dtype != DType::kBF16) {
    throw ConfigError(cat("VAR training: dtype must be f32 or bf16, got ", o.dtype));
  }
}

ScheduleOptions schedule_options(const VarTrainOptions& o) {
  return {.kind = o.schedule,
          .peak_lr = o.lr,
          .weight_decay = o.weight_decay,
          .weight_decay_end = o.weight_decay_end < 0 ? o.weight_decay : o.weight_decay_end,
          .warmup = std::llround(o.warmup_share * static_cast<double>(o.steps)),
          .iterations = o.steps,
          .start_factor = o.warmup_start,
          .end_factor = o.final_lr};
}

double learning_rate(const VarTrainOptions& options, int64_t step) {
  return Schedule(schedule_options(options)).lr(step);
}

}  // namespace terrace
