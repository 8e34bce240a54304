#include "var/training/step_record.h"

namespace terrace {
namespace {

constexpr RecordColumn<VarStepRecord> kVarColumns[] = {
    {"step", &VarStepRecord::step, "step"},
    {"epoch", &VarStepRecord::epoch, "epoch"},
    {"loss", &VarStepRecord::loss, "loss"},
    {"accuracy", &VarStepRecord::accuracy, "accuracy"},
    {"scale_loss", &VarStepRecord::scale_loss, "loss_scale_"},
    {"scale_accuracy", &VarStepRecord::scale_accuracy, "accuracy_scale_"},
    {"held_out_loss", &VarStepRecord::held_out_loss, "held_out_loss", Measured::kHeldOut},
    {"held_out_accuracy", &VarStepRecord::held_out_accuracy, "held_out_accuracy", Measured::kHeldOut},
    {"held_out_images", &VarStepRecord::held_out_images, "held_out_images", Measured::kHeldOut},
    {"held_out_scale_loss", &VarStepRecord::held_out_scale_loss, nullptr, Measured::kHeldOut},
    {"lr", &VarStepRecord::lr, "lr"},
    {"weight_decay", &VarStepRecord::weight_decay, "weight_decay"},
    {"gradient_norm", &VarStepRecord::gradient_norm, "gradient_norm"},
    {"start_gradient", &VarStepRecord::start_gradient, "start_gradient"},
    {"level_gradient", &VarStepRecord::level_gradient, "level_gradient"},
    {"scale_gradient", &VarStepRecord::scale_gradient, "position_gradient_scale_"},
    {"position_gradient", &VarStepRecord::position_gradient},
    {"seconds_per_step", &VarStepRecord::seconds_per_step, "seconds_per_step", Measured::kTime},
    {"peak_bytes", &VarStepRecord::peak_bytes, "peak_bytes", Measured::kTime}};

constexpr auto kAlways = Measured::kAlways, kTime = Measured::kTime;
constexpr auto kLast = Pooling::kLast, kMean = Pooling::kMean, kSum = Pooling::kSum;

constexpr RecordColumn<VqvaeStepRecord> kVqvaeColumns[] = {
    {"step", &VqvaeStepRecord::step, "step", kAlways, kLast},
    {"loss", &VqvaeStepRecord::loss, "loss", kAlways, kMean},
    {"mse", &VqvaeStepRecord::mse, "mse", kAlways, kMean},
    {"l1", &VqvaeStepRecord::l1, nullptr, kAlways, kMean},
    {"edge", &VqvaeStepRecord::edge, nullptr, kAlways, kMean},
    {"vq_loss", &VqvaeStepRecord::vq_loss, "vq_loss", kAlways, kMean},
    {"psnr", &VqvaeStepRecord::psnr, "psnr"},
    {"lr", &VqvaeStepRecord::lr, "lr", kAlways, kLast},
    {"gradient_norm", &VqvaeStepRecord::gradient_norm, "gradient_norm", kAlways, kMean},
    {"revived", &VqvaeStepRecord::revived, "revived", kAlways, kSum},
    {"codes_used", &VqvaeStepRecord::codes_used, "codes_used"},
    {"usage", &VqvaeStepRecord::usage, "usage_"},
    {"perplexity", &VqvaeStepRecord::perplexity, "perplexity_"},
    {"seconds_per_step", &VqvaeStepRecord::seconds_per_step, nullptr, kTime, kSum}};

constexpr RecordColumn<VqvaeEvaluation> kEvaluationColumns[] = {{"step", &VqvaeEvaluation::step},
                                                                {"images", &VqvaeEvaluation::images},
                                                                {"mse", &VqvaeEvaluation::mse},
                                                                {"psnr", &VqvaeEvaluation::psnr},
                                                                {"usage", &VqvaeEvaluation::usage},
                                                                {"perplexity", &VqvaeEvaluation::perplexity},
                                                                {"codes_used", &VqvaeEvaluation::codes_used}};

}  // namespace

template <>
std::span<const RecordColumn<VarStepRecord>> record_columns() {
  return kVarColumns;
}
template <>
std::span<const RecordColumn<VqvaeStepRecord>> record_columns() {
  return kVqvaeColumns;
}
template <>
std::span<const RecordColumn<VqvaeEvaluation>> record_columns() {
  return kEvaluationColumns;
}

void add_step(VqvaeStepRecord& sum, const VqvaeStepRecord& step) {
  for (const RecordColumn<VqvaeStepRecord>& column : record_columns<VqvaeStepRecord>()) {
    if (column.pooling == Pooling::kOwn) { continue; }
    const auto pool = [&]<class T>(T VqvaeStepRecord::*member) {
      if constexpr (!std::is_same_v<T, std::vector<double>>) {
        sum.*member = column.pooling == Pooling::kLast ? step.*member : sum.*member + step.*member;
      }
    };
    std::visit(pool, column.member);
  }
}

void divide_means(VqvaeStepRecord& sum, int64_t steps) {
  const double share = 1 / static_cast<double>(steps);
  for (const RecordColumn<VqvaeStepRecord>& column : record_columns<VqvaeStepRecord>()) {
    if (column.pooling != Pooling::kMean) { continue; }
    if (const auto* member = std::get_if<double VqvaeStepRecord::*>(&column.member)) { sum.** member *= share; }
  }
}

}  // namespace terrace
