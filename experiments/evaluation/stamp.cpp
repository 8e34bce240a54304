#include "experiments/evaluation/stamp.h"

#include <cmath>
#include <cstdio>

#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"

namespace terrace {
namespace {

std::string short_hash(const std::string& hash) { return hash.substr(0, std::string("sha256:").size() + 8); }

std::string count_text(const EvaluationSide& side) {
  if (side.count() == 0) { return "not known"; }
  return side.is_part() ? cat(side.count(), " of ", side.images_of_set) : cat(side.count());
}

Json side_json(const EvaluationSide& side) {
  Json json = {{"path", side.path}};
  if (!side.split.empty()) { json["split"] = side.split; }
  json["images"] = side.count() > 0 ? Json(side.count()) : Json(nullptr);
  if (side.is_part()) { json["images_of_the_set"] = side.images_of_set; }
  if (side.not_of_the_run > 0) { json["pictures_not_of_the_run"] = side.not_of_the_run; }
  if (side.sizes.size() > 1) { json["sizes"] = describe_sizes(side.sizes); }
  json["hash"] = side.set.content_hash;
  json["kind"] = !side.saved_statistics ? "images"
                 : side.has_images      ? "saved statistics, and images"
                                        : "saved statistics";
  json["skipped_bad_files"] = side.set.bad.size();
  return json;
}

std::string fixed(double value) {
  char text[48];
  const double size = std::abs(value);
  std::snprintf(text, sizeof text, size != 0 && size < 0.01 ? "%.4g" : size < 1 ? "%.5f" : "%.4f", value);
  return text;
}

}  // namespace

Stamper::Stamper(const EvaluationOptions& options, const InceptionFeatures* network, const EvaluationSide& fake,
                 const EvaluationSide& real)
    : options_(options), network_(network), fake_(fake), real_(real) {}

std::string Stamper::name(const std::string& metric) const {
  if (network_ == nullptr) { return metric + "(saved statistics)"; }
  return level_name(metric, options_.inception.level, network_->complete);
}

Figure Stamper::figure(const std::string& name, double value, const Json& own, const std::string& words) const {
  Figure figure{.name = name, .value = value, .details = Json::object(), .stamp = {}, .text = "", .stamp_line = ""};
  Json& stamp = figure.stamp;
  std::string& line = figure.stamp_line;
  if (network_ != nullptr) {
    const Protocol protocol = options_.inception.protocol;
    const InceptionPlacement& placement = options_.inception.placement;
    stamp = {{"protocol", name_of(protocol)},
             {"network", "Inception-v3 (2015-12-05)"},
             {"weights", "sha256:" + network_->weights_hash},
             {"weights_complete", network_->complete},
             {"level", options_.inception.level},
             {"resize", resize_of(protocol)},
             {"dtype", cat(placement.dtype, " network, f64 statistics")},
             {"device", placement.device.is_cpu() ? "cpu" : name_of(backend_of(placement.device))}};
    line = cat(name_of(protocol), "; Inception ", network_->weights_hash.substr(0, 8),
               network_->complete ? "" : " (partial)", " level ", options_.inception.level, "; ", placement.dtype,
               ", f64; ");
  } else {
    stamp = {
        {"protocol", nullptr}, {"network", "that of the saved statistics, not known"}, {"dtype", "f64 statistics"}};
    line = "saved statistics; ";
  }
  stamp["fake"] = side_json(fake_);
  stamp["real"] = side_json(real_);
  stamp["version"] = version();
  for (const auto& [key, value_of_key] : own.items()) { stamp[key] = value_of_key; }
  line += cat("N ", count_text(fake_), " / ", count_text(real_), "; reference ", short_hash(real_.set.content_hash));
  if (!words.empty()) { line += "; " + words; }
  const size_t bad = fake_.set.bad.size() + real_.set.bad.size();
  if (bad > 0) { line += cat("; ", bad, bad == 1 ? " bad file" : " bad files", " skipped"); }
  line += cat("; Terrace ", version());
  return figure;
}

std::string Figure::line() const {
  return cat(name, " ", fixed(value), text.empty() ? "" : " " + text, "   [", stamp_line, "]");
}

Json Evaluation::json() const {
  Json all = {{"figures", Json::array()}};
  for (const Figure& f : figures) {
    Json one = {{"name", f.name}, {"value", f.value}};
    for (const auto& [key, value] : f.details.items()) { one[key] = value; }
    if (!f.warning.empty()) { one["warning"] = f.warning; }
    one["stamp"] = f.stamp;
    all["figures"].push_back(std::move(one));
  }
  if (!classes.empty()) {
    all["classes"] = Json::array();
    for (const ClassFigure& c : classes) {
      all["classes"].push_back({{"class", c.name},
                                {"fake", c.fake},
                                {"real", c.real},
                                {"value", std::isfinite(c.value) ? Json(c.value) : Json(nullptr)}});
    }
  }
  if (!bad.empty()) {
    all["bad_files"] = Json::array();
    for (const BadFile& b : bad) { all["bad_files"].push_back(b.reason); }
  }
  all["machine"] = describe_machine();
  all["libraries"] = describe_libraries();
  all["peak_resident_bytes"] = peak_resident_bytes();
  return all;
}

}  // namespace terrace
