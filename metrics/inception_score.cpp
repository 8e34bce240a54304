#include "metrics/inception_score.h"

#include <algorithm>
#include <cmath>

#include "tensor/base/mean_deviation.h"

namespace terrace {
namespace {

constexpr int64_t kRowsAtOnce = 256;

/// In place; returns sum p log p.
double softmax_and_negative_entropy(double* row, int64_t classes) {
  const double top = *std::max_element(row, row + classes);
  double sum = 0, weighted = 0;  // of exp(x - top), and of that times (x - top)
  for (int64_t c = 0; c < classes; ++c) {
    const double shifted = row[c] - top, e = std::exp(shifted);
    sum += e;
    weighted += e * shifted;
    row[c] = e;
  }
  for (int64_t c = 0; c < classes; ++c) { row[c] /= sum; }
  return weighted / sum - std::log(sum);
}

double score_of(const FeatureRows& logits, int64_t begin, int64_t end) {
  const int64_t classes = logits.dim();
  const auto count = static_cast<double>(end - begin);
  std::vector<double> marginal(static_cast<size_t>(classes), 0);
  double negative_entropy = 0;
  for (int64_t at = begin; at < end; at += kRowsAtOnce) {
    const Tensor part = logits.read(at, std::min(end, at + kRowsAtOnce)).clone();
    for (int64_t r = 0; r < part.dim(0); ++r) {
      double* row = part.data<double>() + r * classes;
      if (!std::all_of(row, row + classes, [](double v) { return std::isfinite(v); })) {
        throw Error(cat("inception_score: the logits of row ", at + r, " are not finite"));
      }
      negative_entropy += softmax_and_negative_entropy(row, classes);
      for (int64_t c = 0; c < classes; ++c) { marginal[static_cast<size_t>(c)] += row[c]; }
    }
  }
  double of_marginal = 0;
  for (const double m : marginal) { of_marginal += m > 0 ? m / count * std::log(m / count) : 0; }
  return std::exp(negative_entropy / count - of_marginal);
}

}  // namespace

InceptionScore inception_score(const FeatureRows& logits, int64_t splits) {
  const int64_t count = logits.size();
  if (splits < 1 || splits > count) {
    throw ConfigError(cat("inception_score: ", splits, " splits of ", count, " images; from 1 to as many as images"));
  }
  InceptionScore score;
  for (int64_t i = 0; i < splits; ++i) {
    score.splits.push_back(score_of(logits, i * count / splits, (i + 1) * count / splits));
  }
  score.mean = mean_of(score.splits);
  score.deviation = deviation_of(score.splits, score.mean, 0);
  return score;
}

}  // namespace terrace
