#include "var/training/curves.h"

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

namespace terrace {
namespace {

std::string number(double value) {
  std::ostringstream out;
  out.precision(7);
  out << value;
  return out.str();
}

/// Empty fields where something was not measured.
void append_scales(std::string& row, const std::vector<double>& values, int64_t scales) {
  for (size_t s = 0; s < static_cast<size_t>(scales); ++s) {
    row += "," + (s < values.size() ? number(values[s]) : "");
  }
}

}  // namespace

std::string curves_csv_header(int64_t scales) {
  std::string row =
      "step,epoch,loss,accuracy,held_out_loss,held_out_accuracy,held_out_images,lr,weight_decay,gradient_norm,start_"
      "gradient,"
      "level_gradient,seconds_per_step,peak_bytes";
  for (int64_t s = 0; s < scales; ++s) { row += cat(",loss_scale_", s); }
  for (int64_t s = 0; s < scales; ++s) { row += cat(",accuracy_scale_", s); }
  for (int64_t s = 0; s < scales; ++s) { row += cat(",position_gradient_scale_", s); }
  return row;
}

std::string curves_csv_row(const VarStepRecord& r, int64_t scales) {
  const bool held_out = r.held_out_loss >= 0;
  std::string row = std::to_string(r.step);
  for (const double value : {r.epoch, r.loss, r.accuracy}) { row += "," + number(value); }
  row += "," + (held_out ? number(r.held_out_loss) : "");
  row += "," + (held_out ? number(r.held_out_accuracy) : "");
  row += "," + (held_out ? std::to_string(r.held_out_images) : "");
  for (const double value : {r.lr, r.weight_decay, r.gradient_norm, r.start_gradient, r.level_gradient}) {
    row += "," + number(value);
  }
  row += "," + (r.seconds_per_step > 0 ? number(r.seconds_per_step) : "");
  row += "," + (r.peak_bytes > 0 ? std::to_string(r.peak_bytes) : "");
  append_scales(row, r.scale_loss, scales);
  append_scales(row, r.scale_accuracy, scales);
  append_scales(row, r.scale_gradient, scales);
  return row;
}

std::string curves_json(const VarStepRecord& r) {
  nlohmann::ordered_json j = {{"step", r.step},
                              {"epoch", r.epoch},
                              {"loss", r.loss},
                              {"accuracy", r.accuracy},
                              {"scale_loss", r.scale_loss},
                              {"scale_accuracy", r.scale_accuracy},
                              {"lr", r.lr},
                              {"weight_decay", r.weight_decay},
                              {"gradient_norm", r.gradient_norm},
                              {"start_gradient", r.start_gradient},
                              {"level_gradient", r.level_gradient},
                              {"scale_gradient", r.scale_gradient},
                              {"position_gradient", r.position_gradient}};
  if (r.seconds_per_step > 0) { j["seconds_per_step"] = r.seconds_per_step; }
  if (r.peak_bytes > 0) { j["peak_bytes"] = r.peak_bytes; }
  if (r.held_out_loss >= 0) {
    j["held_out_loss"] = r.held_out_loss;
    j["held_out_accuracy"] = r.held_out_accuracy;
    j["held_out_images"] = r.held_out_images;
    j["held_out_scale_loss"] = r.held_out_scale_loss;
  }
  return j.dump();
}

void restore_times(std::vector<VarStepRecord>& log, const std::string& lines) {
  std::istringstream in(lines);
  std::map<int64_t, nlohmann::json> by_step;
  for (std::string line; std::getline(in, line);) {
    nlohmann::json j = nlohmann::json::parse(line, nullptr, false);
    if (j.is_object() && j.contains("step") && j["step"].is_number_integer()) {
      by_step.emplace(j["step"].get<int64_t>(), j);
    }
  }
  for (VarStepRecord& r : log) {
    const auto found = by_step.find(r.step);
    if (found == by_step.end() || r.seconds_per_step > 0) { continue; }
    const nlohmann::json seconds = found->second.value("seconds_per_step", nlohmann::json()),
                         bytes = found->second.value("peak_bytes", nlohmann::json());
    if (seconds.is_number()) { r.seconds_per_step = seconds.get<double>(); }
    if (bytes.is_number_integer()) { r.peak_bytes = bytes.get<int64_t>(); }
  }
}

}  // namespace terrace
