// The metrics of evaluate: one table, which --metrics, --help, the computation and the tests ask. A metric is a file
// metric_NAME.cpp that defines its entry, and the line of metrics.cpp that lists it.
#pragma once

#include <any>
#include <map>
#include <string>
#include <typeindex>
#include <vector>

#include "experiments/cli/options.h"
#include "experiments/evaluation/stamp.h"

namespace terrace {

/// What is collected of the images beside the moments of their features.
struct MetricNeeds {
  bool features = false;  // the features row by row, of both sides
  bool logits = false;    // of the fakes, row by row
  bool spatial = false;   // the moments of sFID's features, of both sides
};

/// The two sides of an evaluation, with all that the metric's entry says it needs.
class MetricInput {
 public:
  MetricInput(const EvaluationOptions& evaluation_options, const InceptionFeatures* inception,
              const EvaluationSide& fake_side, const EvaluationSide& real_side)
      : options(evaluation_options),
        network(inception),
        fake(fake_side),
        real(real_side),
        stamper(evaluation_options, inception, fake_side, real_side) {}

  const EvaluationOptions& options;
  const InceptionFeatures* network;  // null where both sides are saved statistics
  const EvaluationSide &fake, &real;
  const Stamper stamper;

  /// A value that several metrics read: the first that asks for the type computes it.
  template <class T, class Compute>
  const T& shared(const Compute& compute) const {
    const auto found = shared_.find(typeid(T));
    if (found != shared_.end()) { return std::any_cast<const T&>(found->second); }
    return std::any_cast<const T&>(shared_.emplace(typeid(T), compute()).first->second);
  }

 private:
  mutable std::map<std::type_index, std::any> shared_;
};

struct Metric {
  std::string name;         // in --metrics
  std::string title;        // in the sentence of --help that lists what is measured
  std::string explanation;  // beside the name in the help of --metrics; "": none
  std::string cost;         // at the end of --help: the time and memory it takes beside that of the features
  MetricNeeds needs;
  /// Declares the metric's own options; null: it has none.
  void (*declare)(Options& options, EvaluationOptions& values) = nullptr;
  /// The figures, in the order of the output.
  std::vector<Figure> (*compute)(const MetricInput& input) = nullptr;
};

/// The table, in the order in which figures are computed and printed.
const std::vector<Metric>& metrics();

/// Whether --metrics names it.
bool is_requested(const EvaluationOptions& options, const std::string& metric);

/// The warning of a Frechet distance where a side has no more images than the features have dimensions: its covariance
/// is singular. "" where both have more, or a number is not known.
std::string warning_of_few_images(const Figure& figure, const MetricInput& input, int64_t dim);

/// Throws ConfigError where a side holds moments alone; `what` asks for its images.
void require_images(const EvaluationSide& side, const std::string& what);

}  // namespace terrace
