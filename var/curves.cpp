#include "var/curves.h"

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
  for (size_t s = 0; s < static_cast<size_t>(scales); ++s) row += "," + (s < values.size() ? number(values[s]) : "");
}

}  // namespace

std::string curves_csv_header(int64_t scales) {
  std::string row =
      "step,epoch,loss,accuracy,held_out_loss,held_out_accuracy,lr,weight_decay,gradient_norm,start_gradient,"
      "level_gradient,seconds_per_step,peak_bytes";
  for (int64_t s = 0; s < scales; ++s) row += cat(",loss_scale_", s);
  for (int64_t s = 0; s < scales; ++s) row += cat(",accuracy_scale_", s);
  for (int64_t s = 0; s < scales; ++s) row += cat(",position_gradient_scale_", s);
  return row;
}

std::string curves_csv_row(const VarStepRecord& r, int64_t scales) {
  const bool held_out = r.held_out_loss >= 0;
  std::string row = std::to_string(r.step);
  for (const double value : {r.epoch, r.loss, r.accuracy}) row += "," + number(value);
  row += "," + (held_out ? number(r.held_out_loss) : "");
  row += "," + (held_out ? number(r.held_out_accuracy) : "");
  for (const double value :
       {r.lr, r.weight_decay, r.gradient_norm, r.start_gradient, r.level_gradient, r.seconds_per_step}) {
    row += "," + number(value);
  }
  row += "," + std::to_string(r.peak_bytes);
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
                              {"position_gradient", r.position_gradient},
                              {"seconds_per_step", r.seconds_per_step},
                              {"peak_bytes", r.peak_bytes}};
  if (r.held_out_loss >= 0) {
    j["held_out_loss"] = r.held_out_loss;
    j["held_out_accuracy"] = r.held_out_accuracy;
    j["held_out_scale_loss"] = r.held_out_scale_loss;
  }
  return j.dump();
}

}  // namespace terrace
