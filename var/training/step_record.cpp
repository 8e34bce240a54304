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
    {"held_out_scale_loss", &VarStepRecord::held_out_scale_loss, "held_out_loss_scale_", Measured::kHeldOut},
    {"frechet_distance", &VarStepRecord::frechet_distance, "frechet_distance", Measured::kCurves},
    {"lr", &VarStepRecord::lr, "lr"},
    {"weight_decay", &VarStepRecord::weight_decay, "weight_decay"},
    {"gradient_norm", &VarStepRecord::gradient_norm, "gradient_norm"},
    {"start_gradient", &VarStepRecord::start_gradient, "start_gradient"},
    {"level_gradient", &VarStepRecord::level_gradient, "level_gradient"},
    {"scale_gradient", &VarStepRecord::scale_gradient, "position_gradient_scale_"},
    {"position_gradient", &VarStepRecord::position_gradient},
    {"seconds_per_step", &VarStepRecord::seconds_per_step, "seconds_per_step", Measured::kTime},
    {"peak_bytes", &VarStepRecord::peak_bytes, "peak_bytes", Measured::kTime}};

constexpr auto kAlways = Measured::kAlways, kTime = Measured::kTime, kEvaluation = Measured::kEvaluation,
               kCurves = Measured::kCurves;
constexpr auto kLast = Pooling::kLast, kMean = Pooling::kMean, kSum = Pooling::kSum;

constexpr RecordColumn<VqvaeStepRecord> kVqvaeColumns[] = {
    {"step", &VqvaeStepRecord::step, "step", kAlways, kLast},
    {"epoch", &VqvaeStepRecord::epoch, "epoch", kCurves},
    {"loss", &VqvaeStepRecord::loss, "loss", kAlways, kMean},
    {"mse", &VqvaeStepRecord::mse, "mse", kAlways, kMean},
    {"l1", &VqvaeStepRecord::l1, "l1", kAlways, kMean},
    {"edge", &VqvaeStepRecord::edge, "edge", kAlways, kMean},
    {"vq_loss", &VqvaeStepRecord::vq_loss, "vq_loss", kAlways, kMean},
    {"psnr", &VqvaeStepRecord::psnr, "psnr"},
    {"held_out_mse", &VqvaeStepRecord::held_out_mse, "held_out_mse", kEvaluation},
    {"held_out_psnr", &VqvaeStepRecord::held_out_psnr, "held_out_psnr", kEvaluation},
    {"held_out_codes_used", &VqvaeStepRecord::held_out_codes_used, "held_out_codes_used", kEvaluation},
    {"held_out_images", &VqvaeStepRecord::held_out_images, "held_out_images", kEvaluation},
    {"frechet_distance", &VqvaeStepRecord::frechet_distance, "frechet_distance", kCurves},
    {"lr", &VqvaeStepRecord::lr, "lr", kAlways, kLast},
    {"gradient_norm", &VqvaeStepRecord::gradient_norm, "gradient_norm", kAlways, kMean},
    {"revived", &VqvaeStepRecord::revived, "revived", kAlways, kSum},
    {"codes_used", &VqvaeStepRecord::codes_used, "codes_used"},
    {"usage", &VqvaeStepRecord::usage, "usage_scale_"},
    {"perplexity", &VqvaeStepRecord::perplexity, "perplexity_scale_"},
    {"held_out_usage", &VqvaeStepRecord::held_out_usage, "held_out_usage_scale_", kEvaluation},
    {"held_out_perplexity", &VqvaeStepRecord::held_out_perplexity, "held_out_perplexity_scale_", kEvaluation},
    {"seconds_per_step", &VqvaeStepRecord::seconds_per_step, "seconds_per_step", kTime, kSum},
    {"peak_bytes", &VqvaeStepRecord::peak_bytes, "peak_bytes", kTime, kLast}};

constexpr RecordColumn<VqvaeEvaluation> kEvaluationColumns[] = {
    {"step", &VqvaeEvaluation::step},
    {"images", &VqvaeEvaluation::images},
    {"mse", &VqvaeEvaluation::mse},
    {"psnr", &VqvaeEvaluation::psnr},
    {"usage", &VqvaeEvaluation::usage},
    {"perplexity", &VqvaeEvaluation::perplexity},
    {"codes_used", &VqvaeEvaluation::codes_used},
    {"frechet_distance", &VqvaeEvaluation::frechet_distance, nullptr, kCurves}};

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

void attach(const VqvaeEvaluation& evaluation, VqvaeStepRecord& record) {
  record.held_out_images = evaluation.images;
  record.held_out_mse = evaluation.mse;
  record.held_out_psnr = evaluation.psnr;
  record.held_out_codes_used = evaluation.codes_used;
  record.held_out_usage = evaluation.usage;
  record.held_out_perplexity = evaluation.perplexity;
  record.frechet_distance = evaluation.frechet_distance;
}

}  // namespace terrace
