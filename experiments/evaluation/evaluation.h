// evaluate: the metrics of generated images, each figure with a stamp that says what it was measured with.
//
//   EvaluationOptions options{.fake = "samples.npz", .real = "imagenet.h5", .metrics = {"fid", "is"}};
//   const Evaluation result = evaluate(options);
//   for (const Figure& figure : result.figures) std::puts(figure.line().c_str());
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/files/json.h"
#include "experiments/evaluation/inception_features.h"
#include "metrics/manifold.h"
#include "metrics/reference_cache.h"

namespace terrace {

struct EvaluationOptions {
  std::string fake, real;  // folder, .npz of images, dataset, .npz of statistics; fake may be ""
  std::string fake_split, real_split;
  int64_t fake_limit = 0, real_limit = 0;      // images of a set that are taken, those of part_of; 0: all
  std::vector<std::string> metrics = {"fid"};  // of metric_names()
  InceptionOptions inception;                  // what the metrics need of it is set by evaluate()
  int64_t batch = 32;
  int64_t splits = 0;  // of the Inception Score; 0: by protocol, 10, or for adm as many as make 5000 images each
  int64_t kid_subsets = 100, kid_size = 1000;  // subsets 0: all pairs
  ManifoldOptions manifold;
  int64_t bootstrap = 0;  // replicates; 0: no intervals
  bool fid_vs_n = false, per_class = false, skip_bad = false;
  uint64_t seed = 0;
  std::string save_stats;    // of the reference
  std::string cache_folder;  // "": none
};
const std::vector<std::string>& metric_names();  // of the table of metrics (metric.h)

/// One number, or two, and what it was measured with.
struct Figure {
  std::string name;  // "FID", "FID(768)", "precision"
  double value = 0;
  Json details;      // beside the value: deviation, interval, ...
  Json stamp;        // whole
  std::string text;  // of the details, for people: "+- 0.3"
  std::string stamp_line;
  std::string warning = {};  // why it means little, "" where it does not

  std::string line() const;  // "FID 12.34 [12.1, 12.6]   pytorch-fid | ..."
};

struct ClassFigure {
  std::string name;
  int64_t fake = 0, real = 0;  // images
  double value = 0;            // NaN where a side has fewer than two
};

struct Evaluation {
  std::vector<Figure> figures;
  std::vector<ClassFigure> classes;
  std::vector<BadFile> bad;  // skipped, of both sides
  Json json() const;
};

/// Throws ConfigError where the metrics need what the sides do not have: images where there are statistics, labels,
/// layers of the network; IoError for files; what collect() throws.
Evaluation evaluate(const EvaluationOptions& options);

}  // namespace terrace
