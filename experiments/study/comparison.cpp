#include "experiments/study/comparison.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "experiments/cli/progress.h"
#include "experiments/study/plan.h"
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

/// How far the held-out loss fell over the last quarter of the steps or nearly so, mean over the runs: from the losses
/// of the curve alone, which are over the same images. NaN where there are too few of them.
double last_fall(const StudyResults& results) {
  std::vector<double> falls;
  for (const StudyRun& run : results.runs) {
    std::vector<const VarStepRecord*> curve;
    for (const VarStepRecord& r : run.log) {
      if (r.held_out_loss >= 0 && r.step < run.steps) { curve.push_back(&r); }
    }
    if (curve.size() < 3) { continue; }
    const auto from_a_quarter = [&](const VarStepRecord* r) {
      return std::abs(4 * (curve.back()->step - r->step) - run.steps);
    };
    const VarStepRecord* before = curve.front();
    for (const VarStepRecord* r : curve) {
      if (from_a_quarter(r) < from_a_quarter(before)) { before = r; }
    }
    falls.push_back(before->held_out_loss - curve.back()->held_out_loss);
  }
  return spread_of(falls).mean;
}

/// The distance from the best to the worst of the encodings' mean held-out losses; NaN for one encoding.
double range_of_means(const StudyResults& results) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  const std::vector<std::string> names = results.encodings();
  for (const std::string& encoding : names) {
    const double mean = spread_of(figures(results, encoding, loss_of)).mean;
    low = std::min(low, mean), high = std::max(high, mean);
  }
  return names.size() > 1 ? high - low : kNotMeasured;
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
               " per encoding, differences between encodings cannot be distinguished from differences between seeds: "
               "the order "
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

double code_entropy(const StudyResults& results) {
  double nats = 0, positions = 0;
  for (size_t s = 0; s < results.tokenizer.perplexity.size(); ++s) {
    const auto tokens = static_cast<double>(results.patch_nums[s] * results.patch_nums[s]);
    nats += tokens * std::log(results.tokenizer.perplexity[s]);
    positions += tokens;
  }
  return positions > 0 ? nats / positions : kNotMeasured;
}

std::string shortness_warning(const StudyResults& results) {
  const StudyTokenizer& tokenizer = results.tokenizer;
  std::vector<std::string> reasons;
  const auto few_steps = [&](const char* what, int64_t steps) {
    reasons.push_back(cat(what, " ", steps, steps == 1 ? " step" : " steps", ", fewer than ", kFewSteps));
  };
  if (tokenizer.steps > 0 && tokenizer.steps < kFewSteps) { few_steps("the tokenizer has", tokenizer.steps); }
  const int64_t steps = results.runs.empty() ? kFewSteps : results.runs.front().steps;
  if (steps < kFewSteps) { few_steps("each transformer has", steps); }
  const double entropy = code_entropy(results);
  std::vector<std::string> untaught;
  for (const std::string& encoding : results.encodings()) {
    if (spread_of(figures(results, encoding, loss_of)).mean >= entropy) { untaught.push_back(encoding); }
  }
  if (!untaught.empty()) {
    reasons.push_back(cat("the held-out loss of ", join_names(untaught), " is not below ", format_fixed(entropy, 3),
                          ", that of a model which only knows how often each code occurs at each scale"));
  }
  if (!reasons.empty()) {
    return cat("Too short to compare encodings: ", join_names(reasons, "; "),
               ". The figures show how trainings begin, not how encodings differ.");
  }
  const double fall = last_fall(results), between = range_of_means(results);
  if (!(fall > between)) { return ""; }
  return cat("Still training: over the last quarter of the steps the held-out loss fell by ", format_fixed(fall, 3),
             ", more than the ", format_fixed(between, 3),
             " between the best and the worst encoding. Longer runs may order them differently.");
}

std::string percent(double share) { return std::isfinite(share) ? format_fixed(100 * share, 1) + " %" : "–"; }

bool has_rule(const StudyResults& results) { return std::isfinite(results.tokenizer.real_share); }

std::string seeds_text(const StudyResults& results) {
  const size_t count = results.runs.empty() ? 0 : results.runs_of(results.runs.front().encoding).size();
  return count == 1 ? "one seed" : std::to_string(count) + " seeds";
}

std::string final_images_text(const StudyResults& results) {
  return results.final_images < results.held_out_images ? std::to_string(results.final_images) : "all";
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
