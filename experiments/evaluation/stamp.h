// The stamp of every figure of an evaluation: the protocol, weights, images and reference it was measured with.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "experiments/evaluation/evaluation.h"
#include "experiments/evaluation/side_source.h"

namespace terrace {

/// One side of an evaluation: images that went through the network, or statistics.
struct EvaluationSide {
  std::string path, split;
  Collected set;  // of statistics: those alone
  /// Its moments were read from a file; images beside them (ADM's references have both) are for what needs images.
  bool saved_statistics = false;
  bool has_images = true;
  int64_t images_of_set = 0;   // of which a limit takes a part; 0: not counted
  int64_t not_of_the_run = 0;  // pictures in the folder of a run that its run.json does not list
  ImageSizes sizes = {};
  std::shared_ptr<const SizedSource> source = nullptr;  // null where no image is needed

  bool is_part() const { return !saved_statistics && images_of_set > set.count + static_cast<int64_t>(set.bad.size()); }
  int64_t count() const { return saved_statistics ? set.statistics.features.count : set.count; }
};

/// Makes figures and puts the stamp on each.
class Stamper {
 public:
  /// `network` is null where both sides are statistics.
  Stamper(const EvaluationOptions& options, const InceptionFeatures* network, const EvaluationSide& fake,
          const EvaluationSide& real);

  /// `own` is what this metric alone was measured with (splits, subsets, neighbours): its keys join the stamp, `words`
  /// the line.
  Figure figure(const std::string& name, double value, const Json& own = Json::object(),
                const std::string& words = "") const;
  /// The name at this level: level_name(), or "FID(saved statistics)".
  std::string name(const std::string& metric) const;

 private:
  const EvaluationOptions& options_;
  const InceptionFeatures* network_;
  const EvaluationSide& fake_;
  const EvaluationSide& real_;
};

}  // namespace terrace
