#include "experiments/study/comparison.h"

#include <cmath>
#include <limits>

#include "experiments/cli/progress.h"
#include "tensor/base/error.h"
#include "tensor/base/names.h"

namespace terrace {
namespace {

/// b - a of the runs that share a seed, sorted by it.
PairedComparison paired(const StudyResults& results, const std::string& a, const std::string& b,
                        double (*figure)(const StudyRun&)) {
  std::vector<double> x, y;
  for (const StudyRun* left : results.runs_of(a)) {
    for (const StudyRun* right : results.runs_of(b)) {
      if (left->seed != right->seed) { continue; }
      x.push_back(figure(*left));
      y.push_back(figure(*right));
    }
  }
  return compare_pairs(x, y);
}

}  // namespace

std::string best_encoding(const StudyResults& results, double (*figure)(const StudyRun&), Better better) {
  std::string best;
  double least = std::numeric_limits<double>::infinity();
  for (const std::string& encoding : results.encodings()) {
    const double value = static_cast<double>(better) * spread_of(figures(results, encoding, figure)).mean;
    if (value < least) { least = value, best = encoding; }
  }
  return best;
}

std::string established_best(const StudyResults& results, double (*figure)(const StudyRun&), Better better) {
  const std::vector<std::string> names = results.encodings();
  const std::string best = best_encoding(results, figure, better);
  if (names.size() < 2 || best.empty()) { return ""; }
  for (const std::string& other : names) {
    if (other == best) { continue; }
    const PairedComparison c = paired(results, best, other, figure);
    if (c.difference.count < 3 || !(c.p < 0.05 / static_cast<double>(names.size() - 1))) { return ""; }
  }
  return best;
}

std::vector<Contrast> contrasts(const StudyResults& results) {
  const std::vector<std::string> names = results.encodings();
  std::vector<Contrast> list;
  for (size_t i = 1; i < names.size(); ++i) {
    list.push_back({names[i], names[0], paired(results, names[0], names[i], loss_of),
                    paired(results, names[0], names[i], share_of)});
  }
  return list;
}

std::string significance_sentence(const StudyResults& results) {
  const std::vector<Contrast> list = contrasts(results);
  if (list.empty()) { return "One encoding alone: nothing to compare."; }
  const int64_t seeds = list.front().held_out_loss.difference.count;
  if (seeds < 3) {
    return cat("With ", seeds == 1 ? "one seed" : std::to_string(seeds) + " seeds",
               " per encoding, differences between encodings cannot be told from differences between seeds: the order "
               "above is an observation, not a finding. Three seeds or more are needed (--seeds 0,1,2).");
  }
  // Bonferroni: several encodings against one baseline are several chances to be wrong.
  const double level = 0.05 / static_cast<double>(list.size());
  std::vector<std::string> found, open;
  for (const Contrast& c : list) {
    if (c.held_out_loss.p < level) {
      found.push_back(cat(c.encoding, " has a ", c.held_out_loss.difference.mean < 0 ? "lower" : "higher",
                          " held-out loss than ", c.baseline, " by ",
                          format_fixed(std::fabs(c.held_out_loss.difference.mean), 4),
                          " (p = ", format_number(c.held_out_loss.p), ")"));
    } else {
      open.push_back(c.encoding);
    }
  }
  std::string text = found.empty() ? "" : "Over " + std::to_string(seeds) + " seeds, " + join_names(found, "; ") + ".";
  if (!open.empty()) {
    text += cat(text.empty() ? "" : " ", "No difference in held-out loss to ", list.front().baseline,
                " is established at the 5 % level (corrected for ", list.size(),
                list.size() == 1 ? " comparison" : " comparisons", ") for: ", join_names(open),
                ". That is not evidence that there is none.");
  }
  return text + (seeds < 5 ? " With so few seeds a t-test sees large differences only." : "");
}

std::string percent(double share) { return std::isfinite(share) ? format_fixed(100 * share, 1) + " %" : "–"; }

bool has_rule(const StudyResults& results) { return std::isfinite(results.tokenizer.real_share); }

std::string seeds_text(const StudyResults& results) {
  const size_t count = results.runs.empty() ? 0 : results.runs_of(results.runs.front().encoding).size();
  return count == 1 ? "one seed" : std::to_string(count) + " seeds";
}

std::string sampling_text(const StudyResults& results) {
  const Json& c = results.configuration;
  const auto top_k = c.value("top-k", int64_t{0});
  const double top_p = c.value("top-p", 0.0);
  std::string text = "guidance " + format_number(c.value("cfg", 0.0));
  if (top_k > 0) { text += cat(", top-k ", top_k); }
  if (top_p > 0) { text += ", top-p " + format_number(top_p); }
  return text + (top_k > 0 || top_p > 0 ? "" : ", all codes allowed");
}

std::string share_interval(const StudyResults& results, const std::string& encoding, double* samples) {
  double hits = 0;
  *samples = 0;
  for (const StudyRun* run : results.runs_of(encoding)) {
    if (!std::isfinite(run->own_share)) { continue; }
    hits += run->own_share * static_cast<double>(run->drawn);
    *samples += static_cast<double>(run->drawn);
  }
  const Interval interval = wilson_interval(hits, *samples);
  return percent(interval.low) + " to " + percent(interval.high);
}

}  // namespace terrace
