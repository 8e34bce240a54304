#include "experiments/evaluation/evaluation.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>

#include "data/files/atomic_file.h"
#include "data/files/sha256.h"
#include "data/formats/tensor_file.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/evaluation/stamp.h"
#include "metrics/inception_score.h"
#include "metrics/kernel_distance.h"
#include "metrics/resampling.h"

namespace terrace {
namespace {

constexpr int64_t kAdmSplit = 5000;   // images of a split of ADM's Inception Score
constexpr int64_t kCurvePoints = 15;  // as Chong and Forsyth take
constexpr int64_t kLeastCurveImages = 50;

class EvaluationRun {
 public:
  explicit EvaluationRun(const EvaluationOptions& options) : options_(options) {}
  Evaluation run();

 private:
  bool wants(const char* metric) const {
    return std::find(options_.metrics.begin(), options_.metrics.end(), metric) != options_.metrics.end();
  }
  bool has_fake() const { return !options_.fake.empty(); }
  /// Whether both sides' features are needed row by row; the fakes' are for these and for resampling.
  bool pairs_features() const { return wants("kid") || wants("pr") || wants("dc") || options_.per_class; }
  bool needs_features(bool is_fake) const {
    return pairs_features() || (is_fake && (options_.bootstrap > 0 || options_.fid_vs_n));
  }
  bool needs_images(bool is_fake) const { return needs_features(is_fake) || (is_fake && wants("is")); }
  void check_request() const;
  EvaluationSide open_side(const std::string& path, const std::string& split, bool is_fake);
  EvaluationSide read_saved(const std::string& path) const;
  void open_network();
  void require_images(const EvaluationSide& side, const char* metric) const;

  void add_fid(Evaluation& result, const Stamper& stamper);
  void add_spatial(Evaluation& result, const Stamper& stamper);
  void add_inception_score(Evaluation& result, const Stamper& stamper);
  void add_kernel_distance(Evaluation& result, const Stamper& stamper);
  void add_manifold(Evaluation& result, const Stamper& stamper);
  void add_classes(Evaluation& result) const;

  EvaluationOptions options_;
  std::optional<InceptionFeatures> network_;
  EvaluationSide fake_, real_;
};

void EvaluationRun::check_request() const {
  for (const std::string& metric : options_.metrics) {
    const auto& names = metric_names();
    if (std::find(names.begin(), names.end(), metric) == names.end()) {
      throw ConfigError(cat("--metrics: \"", metric, "\"; known: fid, sfid, is, kid, pr, dc"));
    }
  }
  if (options_.real.empty()) { throw ConfigError("--real is missing: what the images are compared with"); }
  if (!has_fake() && options_.save_stats.empty()) {
    throw ConfigError("--fake is missing: the images to judge (without it, --save-stats FILE is all there is to do)");
  }
  if (options_.metrics.empty() && has_fake()) { throw ConfigError("--metrics names none"); }
}

void EvaluationRun::open_network() {
  if (network_) { return; }
  InceptionOptions inception = options_.inception;
  inception.spatial = wants("sfid");
  inception.logits = wants("is") && has_fake();
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
std::function<void(int64_t, int64_t)> reporter(const char* doing) {
  const auto bar = std::make_shared<std::unique_ptr<Progress>>();
  return [bar, doing](int64_t done, int64_t total) {
    check_interrupt();
    if (!*bar) { *bar = std::make_unique<Progress>(doing, total, "images"); }
    (*bar)->update(done);
    if (done == total) { (*bar)->finish(); }
  };
}

EvaluationSide EvaluationRun::open_side(const std::string& path, const std::string& split, bool is_fake) {
  const bool may_be_saved = path.ends_with(".npz");
  EvaluationSide saved;
  if (may_be_saved && is_statistics_file(path)) {
    saved = read_saved(path);
    if (!needs_images(is_fake) || !open_tensor_file(path).has("arr_0")) { return saved; }
  }
  EvaluationSide side{.path = path, .split = split, .set = {}};
  const auto source = open_image_source(path, split);
  open_network();
  CollectOptions collecting{.batch = options_.batch};
  collecting.bad_files = options_.skip_bad ? BadFiles::kSkip : BadFiles::kStop;
  collecting.features = needs_features(is_fake) ? KeepRows::kYes : KeepRows::kNo;
  collecting.progress = reporter(is_fake ? "fake" : "real");
  collecting.hashing = reporter(is_fake ? "read fake" : "read real");
  const ReferenceCache cache(options_.cache_folder);
  side.set = is_fake ? collect_resumable(*source, network_->network, collecting, cache)
                     : collect_cached(*source, network_->network, collecting, cache);
  if (saved.saved_statistics) {
    side.saved_statistics = true;
    side.set.statistics = saved.set.statistics;
  }
  return side;
}

void EvaluationRun::require_images(const EvaluationSide& side, const char* metric) const {
  if (!side.has_images) {
    throw ConfigError(cat(metric, " needs images, not their statistics alone: ", side.path, " holds mu and sigma"));
  }
}

/// Distances of features of other networks or levels have no meaning.
void check_dims(const Gaussian& fake, const Gaussian& real, const EvaluationSide& a, const EvaluationSide& b) {
  if (fake.dim() == real.dim()) { return; }
  throw ConfigError(cat("the two sides do not fit: ", fake.dim(), " features of ", a.path, ", ", real.dim(), " of ",
                        b.path, "; statistics are of one network and level (--features)"));
}

void EvaluationRun::add_fid(Evaluation& result, const Stamper& stamper) {
  const Gaussian &fake = fake_.set.statistics.features, &real = real_.set.statistics.features;
  const FrechetReference reference(real);
  const double value = reference.distance(fake);
  Figure figure = stamper.figure(stamper.name("FID"), value);
  if (options_.bootstrap > 0) {
    require_images(fake_, "--bootstrap");
    const ConfidenceInterval interval =
        bootstrap_frechet(reference, *fake_.set.features, value, options_.bootstrap, options_.seed);
    figure.text = cat("95 % [", format_number(interval.low), ", ", format_number(interval.high), "]");
    figure.details["interval_95"] = {interval.low, interval.high};
    figure.details["deviation"] = interval.deviation;
    figure.stamp["bootstrap"] = {{"replicates", interval.replicates}, {"of", "fakes"}, {"seed", options_.seed}};
    figure.stamp_line += cat("; bootstrap ", interval.replicates);
  }
  result.figures.push_back(figure);
  if (!options_.fid_vs_n) { return; }
  require_images(fake_, "--fid-vs-n");
  const FrechetCurve curve =
      frechet_curve(reference, *fake_.set.features, kCurvePoints, kLeastCurveImages, options_.seed);
  Figure infinite = stamper.figure(stamper.name("FID") + "-infinity", curve.at_infinity,
                                   {{"curve", {{"points", curve.counts.size()}, {"seed", options_.seed}}}},
                                   cat("line over 1/N through ", curve.counts.size(), " points"));
  infinite.details = {{"slope", curve.slope}, {"images", curve.counts}, {"distances", curve.distances}};
  result.figures.push_back(infinite);
}

void EvaluationRun::add_spatial(Evaluation& result, const Stamper& stamper) {
  for (const EvaluationSide* side : {&fake_, &real_}) {
    if (!side->set.statistics.spatial) {
      throw ConfigError(cat("sfid needs mu_s and sigma_s, which ", side->path, " has not"));
    }
  }
  const Gaussian &fake = *fake_.set.statistics.spatial, &real = *real_.set.statistics.spatial;
  check_dims(fake, real, fake_, real_);
  const bool complete = network_ && network_->complete;
  const char* name = !network_ ? "sFID(saved statistics)" : complete ? "sFID" : "sFID(partial weights)";
  result.figures.push_back(
      stamper.figure(name, frechet_distance(real, fake), {{"level", "spatial 17 x 17 x 7"}}, "spatial features"));
}

void EvaluationRun::add_inception_score(Evaluation& result, const Stamper& stamper) {
  require_images(fake_, "is");
  int64_t splits = options_.splits;
  if (splits == 0) {
    splits = options_.inception.protocol == Protocol::kAdm ? (fake_.set.count + kAdmSplit - 1) / kAdmSplit : 10;
    splits = std::min(splits, fake_.set.count);
  }
  const InceptionScore score = inception_score(*fake_.set.logits, splits);
  Figure figure = stamper.figure("IS", score.mean, {{"splits", splits}, {"logits", "1008 classes, without bias"}},
                                 cat(splits, splits == 1 ? " split" : " splits", " in file order"));
  figure.text = cat("+- ", format_number(score.deviation));
  figure.details = {{"deviation", score.deviation}, {"splits", score.splits}};
  result.figures.push_back(figure);
}

void EvaluationRun::add_kernel_distance(Evaluation& result, const Stamper& stamper) {
  require_images(fake_, "kid");
  require_images(real_, "kid");
  const FeatureRows &fake = *fake_.set.features, &real = *real_.set.features;
  if (options_.kid_subsets == 0) {
    result.figures.push_back(stamper.figure(stamper.name("KID"), kernel_distance(real, fake),
                                            {{"kid", "all pairs, unbiased"}}, "all pairs"));
    return;
  }
  const KernelDistance distance = kernel_distance_of_subsets(
      real, fake, {.count = options_.kid_subsets, .size = options_.kid_size, .seed = options_.seed});
  Figure figure =
      stamper.figure(stamper.name("KID"), distance.mean,
                     {{"kid", {{"subsets", distance.subsets}, {"size", distance.size}, {"seed", options_.seed}}}},
                     cat(distance.subsets, " subsets of ", distance.size));
  figure.text = cat("+- ", format_number(distance.deviation));
  figure.details = {{"deviation", distance.deviation}};
  result.figures.push_back(figure);
}

void EvaluationRun::add_manifold(Evaluation& result, const Stamper& stamper) {
  for (const EvaluationSide* side : {&fake_, &real_}) { require_images(*side, wants("pr") ? "pr" : "dc"); }
  ManifoldOptions neighbours = options_.manifold;
  if (!wants("dc")) {
    neighbours.k_density = neighbours.k_precision;  // which else would ask for more images than needed
  }
  if (!wants("pr")) { neighbours.k_precision = neighbours.k_density; }
  const ManifoldScores scores = manifold_scores(*real_.set.features, *fake_.set.features, neighbours);
  const auto add = [&](const char* name, double value, int64_t k) {
    result.figures.push_back(stamper.figure(
        stamper.name(name), value, {{"neighbours", k}, {"images_compared", {fake_.set.count, real_.set.count}}},
        cat(k, " nearest neighbours among ", fake_.set.count, " / ", real_.set.count, " images")));
  };
  if (wants("pr")) {
    add("precision", scores.precision, options_.manifold.k_precision);
    add("recall", scores.recall, options_.manifold.k_precision);
  }
  if (wants("dc")) {
    add("density", scores.density, options_.manifold.k_density);
    add("coverage", scores.coverage, options_.manifold.k_density);
  }
}

/// Positions of each class's images, by name where the set names its classes, else by number.
std::map<std::string, std::vector<int64_t>> rows_by_class(const EvaluationSide& side) {
  std::map<std::string, std::vector<int64_t>> rows;
  for (size_t i = 0; i < side.set.labels.size(); ++i) {
    const int64_t label = side.set.labels[i];
    if (label < 0) { throw ConfigError(cat("--per-class: ", side.path, " does not tell the class of its images")); }
    const auto index = static_cast<size_t>(label);
    rows[index < side.set.class_names.size() ? side.set.class_names[index] : cat(label)].push_back(
        static_cast<int64_t>(i));
  }
  return rows;
}

void EvaluationRun::add_classes(Evaluation& result) const {
  require_images(fake_, "--per-class");
  require_images(real_, "--per-class");
  const auto fake = rows_by_class(fake_), real = rows_by_class(real_);
  Progress progress("per class", static_cast<int64_t>(real.size()), "classes");
  bool shared = false;
  for (const auto& [name, real_rows] : real) {
    check_interrupt();
    ClassFigure figure{.name = name,
                       .real = static_cast<int64_t>(real_rows.size()),
                       .value = std::numeric_limits<double>::quiet_NaN()};
    if (const auto found = fake.find(name); found != fake.end()) {
      shared = true;
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
  if (!shared) {
    throw ConfigError(cat("--per-class: ", options_.fake, " and ", options_.real, " have no class name in common"));
  }
}

Evaluation EvaluationRun::run() {
  check_request();
  // The fakes first: what is wrong with them is known before a large reference is read.
  if (has_fake()) { fake_ = open_side(options_.fake, options_.fake_split, true); }
  real_ = open_side(options_.real, options_.real_split, false);
  Evaluation result;
  for (const EvaluationSide* side : {&fake_, &real_}) {
    result.bad.insert(result.bad.end(), side->set.bad.begin(), side->set.bad.end());
  }
  if (!options_.save_stats.empty()) { write_statistics(options_.save_stats, real_.set.statistics); }
  if (!has_fake()) { return result; }

  check_dims(fake_.set.statistics.features, real_.set.statistics.features, fake_, real_);
  const Stamper stamper(options_, network_ ? &*network_ : nullptr, fake_, real_);
  if (wants("fid")) { add_fid(result, stamper); }
  if (wants("sfid")) { add_spatial(result, stamper); }
  if (wants("is")) { add_inception_score(result, stamper); }
  if (wants("kid")) { add_kernel_distance(result, stamper); }
  if (wants("pr") || wants("dc")) { add_manifold(result, stamper); }
  if (options_.per_class) { add_classes(result); }
  return result;
}

}  // namespace

const std::vector<std::string>& metric_names() {
  static const std::vector<std::string> names = {"fid", "sfid", "is", "kid", "pr", "dc"};
  return names;
}

Evaluation evaluate(const EvaluationOptions& options) { return EvaluationRun(options).run(); }

}  // namespace terrace
