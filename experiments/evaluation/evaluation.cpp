#include "experiments/evaluation/evaluation.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "data/files/atomic_file.h"
#include "data/files/sha256.h"
#include "data/formats/open_tensor_file.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/evaluation/metric.h"
#include "metrics/frechet.h"
#include "metrics/resampling.h"
#include "tensor/base/names.h"

namespace terrace {
namespace {

MetricNeeds needs_of(const EvaluationOptions& options) {
  MetricNeeds all;
  for (const Metric& metric : metrics()) {
    if (!is_requested(options, metric.name)) { continue; }
    all.features = all.features || metric.needs.features;
    all.logits = all.logits || metric.needs.logits;
    all.spatial = all.spatial || metric.needs.spatial;
  }
  return all;
}

class EvaluationRun {
 public:
  explicit EvaluationRun(const EvaluationOptions& options) : options_(options), needs_(needs_of(options)) {}
  Evaluation run();

 private:
  bool has_fake() const { return !options_.fake.empty(); }
  /// Whether features are needed row by row: on both sides to pair them, of the fakes to resample them too.
  bool needs_features(bool is_fake) const {
    const bool pairs = needs_.features || options_.per_class, resamples = options_.bootstrap > 0 || options_.fid_vs_n;
    return pairs || (is_fake && resamples);
  }
  bool needs_images(bool is_fake) const { return needs_features(is_fake) || (is_fake && needs_.logits); }
  void check_request() const;
  EvaluationSide open_side(const std::string& path, const std::string& split, bool is_fake) const;
  EvaluationSide read_saved(const std::string& path) const;
  void check_sides() const;
  void check_dims() const;
  void check_needs(const Metric& metric) const;
  void check_classes() const;
  void open_network();
  void collect_side(EvaluationSide& side, bool is_fake) const;
  void add_classes(Evaluation& result) const;

  EvaluationOptions options_;
  MetricNeeds needs_;  // of the metrics that are requested
  std::optional<InceptionFeatures> network_;
  EvaluationSide fake_, real_;
};

void EvaluationRun::check_request() const {
  for (const std::string& metric : options_.metrics) {
    const auto& names = metric_names();
    if (std::find(names.begin(), names.end(), metric) == names.end()) {
      throw ConfigError(cat("--metrics: \"", metric, "\"; known: ", join_names(names)));
    }
  }
  if (options_.real.empty()) { throw ConfigError("--real is missing: what the images are compared with"); }
  if (!has_fake() && options_.save_stats.empty()) {
    throw ConfigError("--fake is missing: the images to judge (without it, --save-stats FILE is all there is to do)");
  }
  if (options_.metrics.empty() && has_fake()) { throw ConfigError("--metrics names none"); }
}

void EvaluationRun::open_network() {
  InceptionOptions inception = options_.inception;
  inception.spatial = needs_.spatial;
  inception.logits = needs_.logits && has_fake();
  network_ = open_inception(inception);
}

EvaluationSide EvaluationRun::read_saved(const std::string& path) const {
  EvaluationSide side{.path = path, .split = "", .set = {}, .saved_statistics = true, .has_images = false};
  side.set.statistics = read_statistics(path);
  side.set.count = side.set.statistics.features.count;
  const std::string content = read_file(path);
  side.set.content_hash = "sha256:" + sha256_hex(content.data(), content.size());
  return side;
}

/// A progress bar that begins with its pass.
std::function<void(int64_t, int64_t)> reporter(const std::string& doing) {
  const auto bar = std::make_shared<std::unique_ptr<Progress>>();
  return [bar, doing](int64_t done, int64_t total) {
    check_interrupt();
    if (!*bar) { *bar = std::make_unique<Progress>(doing, total, "images"); }
    (*bar)->update(done);
    if (done == total) { (*bar)->finish(); }
  };
}

/// The set, of which no image is read yet, or its statistics.
EvaluationSide EvaluationRun::open_side(const std::string& path, const std::string& split, bool is_fake) const {
  EvaluationSide side{.path = path, .split = split, .set = {}};
  const char* name = is_fake ? "fake" : "real";
  const int64_t limit = is_fake ? options_.fake_limit : options_.real_limit;
  if (path.ends_with(".npz") && is_statistics_file(path)) {
    side = read_saved(path);
    if (limit > 0) {
      throw ConfigError(cat("--", name, "-limit ", limit, ": ", path,
                            " holds statistics of all its images, of which none can be left out; limit the other side "
                            "alone, by --",
                            is_fake ? "real" : "fake", "-limit"));
    }
    if (!needs_images(is_fake) || !open_tensor_file(path).has("arr_0")) { return side; }
    side.has_images = true;
  }
  const SideSource opened = open_side_source(path, split, limit);
  side.source = opened.source;
  side.images_of_set = opened.images_of_set;
  if (opened.run && !opened.run->others.empty()) {
    side.not_of_the_run = static_cast<int64_t>(opened.run->others.size());
    std::fprintf(stderr, "%s\n", left_out_text(cat("--", name), path, *opened.run).c_str());
  }
  return side;
}

/// Distances of features of other networks or levels have no meaning.
void EvaluationRun::check_dims() const {
  const auto dim = [&](const EvaluationSide& side) {
    return side.saved_statistics ? side.set.statistics.features.dim() : options_.inception.level;
  };
  if (dim(fake_) == dim(real_)) { return; }
  throw ConfigError(cat("the two sides do not fit: ", dim(fake_), " features of ", fake_.path, ", ", dim(real_), " of ",
                        real_.path, "; statistics are of one network and level (--features)"));
}

void EvaluationRun::check_needs(const Metric& metric) const {
  if (metric.needs.features || metric.needs.logits) { require_images(fake_, metric.name); }
  if (metric.needs.features) { require_images(real_, metric.name); }
  if (!metric.needs.spatial) { return; }
  for (const EvaluationSide* side : {&fake_, &real_}) {
    if (side->saved_statistics && !side->set.statistics.spatial) {
      throw ConfigError(cat(metric.name, " needs mu_s and sigma_s, which ", side->path, " has not"));
    }
  }
}

/// The class of this label, by name where the set names its classes, else by number.
std::string class_name_of(int64_t label, const std::vector<std::string>& names) {
  const auto index = static_cast<size_t>(label);
  return index < names.size() ? names[index] : cat(label);
}

std::set<std::string> classes_of(const EvaluationSide& side) {
  require_images(side, "--per-class");
  std::set<std::string> names;
  for (int64_t i = 0; i < side.source->size(); ++i) {
    if (const int64_t label = side.source->label(i); label >= 0) {
      names.insert(class_name_of(label, side.source->class_names()));
      continue;
    }
    throw ConfigError(cat("--per-class: ", side.path,
                          " does not tell the class of its images; a dataset, an .npz with labels in arr_1, a "
                          "folder with a subfolder for each class and a run of sample with --classes do"));
  }
  return names;
}

void EvaluationRun::check_classes() const {
  const std::set<std::string> fake = classes_of(fake_), real = classes_of(real_);
  if (std::any_of(real.begin(), real.end(), [&](const std::string& name) { return fake.contains(name); })) { return; }
  throw ConfigError(cat("--per-class: ", fake_.path, " and ", real_.path, " have no class name in common"));
}

/// What can be told before any image goes through the network.
void EvaluationRun::check_sides() const {
  if (!has_fake()) { return; }
  for (const Metric& metric : metrics()) {
    if (is_requested(options_, metric.name)) { check_needs(metric); }
  }
  if (options_.bootstrap > 0) { require_images(fake_, "--bootstrap"); }
  if (options_.fid_vs_n) { require_images(fake_, "--fid-vs-n"); }
  check_dims();
  if (options_.per_class) { check_classes(); }
}

/// The side's images through the network; moments that were read from a file stand.
void EvaluationRun::collect_side(EvaluationSide& side, bool is_fake) const {
  if (side.source == nullptr) { return; }
  const char* name = is_fake ? "fake" : "real";
  CollectOptions collecting{.batch = options_.batch};
  collecting.bad_files = options_.skip_bad ? BadFiles::kSkip : BadFiles::kStop;
  collecting.features = needs_features(is_fake) ? KeepRows::kYes : KeepRows::kNo;
  collecting.progress = reporter(cat(name, ", network"));
  collecting.hashing = reporter(cat(name, ", hash"));
  const ReferenceCache cache(options_.cache_folder);
  Collected set = is_fake ? collect_resumable(*side.source, network_->network, collecting, cache)
                          : collect_cached(*side.source, network_->network, collecting, cache);
  if (side.saved_statistics) { set.statistics = std::move(side.set.statistics); }
  side.set = std::move(set);
  side.sizes = side.source->sizes();
  if (side.sizes.size() > 1) {
    std::fprintf(stderr, "warning: the images of --%s differ in size: %s; each is resized by itself\n", name,
                 describe_sizes(side.sizes).c_str());
  }
}

/// Positions of each class's images.
std::map<std::string, std::vector<int64_t>> rows_by_class(const EvaluationSide& side) {
  std::map<std::string, std::vector<int64_t>> rows;
  for (size_t i = 0; i < side.set.labels.size(); ++i) {
    rows[class_name_of(side.set.labels[i], side.set.class_names)].push_back(static_cast<int64_t>(i));
  }
  return rows;
}

void EvaluationRun::add_classes(Evaluation& result) const {
  const auto fake = rows_by_class(fake_), real = rows_by_class(real_);
  Progress progress("per class", static_cast<int64_t>(real.size()), "classes");
  for (const auto& [name, real_rows] : real) {
    check_interrupt();
    ClassFigure figure{.name = name,
                       .real = static_cast<int64_t>(real_rows.size()),
                       .value = std::numeric_limits<double>::quiet_NaN()};
    if (const auto found = fake.find(name); found != fake.end()) {
      figure.fake = static_cast<int64_t>(found->second.size());
      if (figure.fake > 1 && figure.real > 1) {
        figure.value = frechet_distance(gaussian_of_rows(*real_.set.features, real_rows),
                                        gaussian_of_rows(*fake_.set.features, found->second));
      }
    }
    result.classes.push_back(figure);
    progress.update(static_cast<int64_t>(result.classes.size()));
  }
  progress.finish();
}

Evaluation EvaluationRun::run() {
  check_request();
  if (has_fake()) { fake_ = open_side(options_.fake, options_.fake_split, true); }
  real_ = open_side(options_.real, options_.real_split, false);
  check_sides();
  if (fake_.source != nullptr || real_.source != nullptr) { open_network(); }
  // The fakes first: which of their files are bad is known before a large reference is read.
  collect_side(fake_, true);
  collect_side(real_, false);
  Evaluation result;
  for (const EvaluationSide* side : {&fake_, &real_}) {
    result.bad.insert(result.bad.end(), side->set.bad.begin(), side->set.bad.end());
  }
  if (!options_.save_stats.empty()) { write_statistics(options_.save_stats, real_.set.statistics); }
  if (!has_fake()) { return result; }

  const MetricInput input(options_, network_ ? &*network_ : nullptr, fake_, real_);
  for (const Metric& metric : metrics()) {
    if (!is_requested(options_, metric.name)) { continue; }
    for (Figure& figure : metric.compute(input)) { result.figures.push_back(std::move(figure)); }
  }
  if (options_.per_class) { add_classes(result); }
  return result;
}

}  // namespace

Evaluation evaluate(const EvaluationOptions& options) { return EvaluationRun(options).run(); }

}  // namespace terrace
