// Comparing the encodings of a study: means over seeds, pairs that share a seed, and what may be said about them.
#pragma once

#include <string>
#include <vector>

#include "experiments/report/statistics.h"
#include "experiments/study/results.h"

namespace terrace {

/// A figure of every run of an encoding.
template <class F>
std::vector<double> figures(const StudyResults& results, const std::string& encoding, const F& figure) {
  std::vector<double> values;
  for (const StudyRun* run : results.runs_of(encoding)) { values.push_back(figure(*run)); }
  return values;
}

/// The figures that encodings are compared by.
inline double loss_of(const StudyRun& run) { return run.held_out.loss; }
inline double share_of(const StudyRun& run) { return 100 * run.own_share; }

enum class Better : int8_t { kLower = 1, kHigher = -1 };
/// The encoding with the best mean.
std::string best_encoding(const StudyResults& results, double (*figure)(const StudyRun&), Better better);
/// The same where a paired test tells it from every other encoding at 5 %, corrected for their number; else "".
std::string established_best(const StudyResults& results, double (*figure)(const StudyRun&), Better better);

/// The figures of two encodings, paired over the seeds they share.
struct Contrast {
  std::string encoding, baseline;
  PairedComparison held_out_loss, own_share;
};
/// Every encoding against the first.
std::vector<Contrast> contrasts(const StudyResults& results);
/// What may be said about the differences, in a sentence or two; says so where the seeds do not allow anything.
std::string significance_sentence(const StudyResults& results);

/// Nats per token of a model that knows how often each code occurs at each scale and nothing else: the entropy of the
/// training tokens' codes, mean over the positions. NaN where it was not measured.
double code_entropy(const StudyResults& results);
/// Says in a sentence or two that, and why, the runs are too short to compare encodings; "" where they are not:
///   - the tokenizer or the transformers have fewer than kFewSteps steps;
///   - the mean held-out loss of an encoding is not below code_entropy();
///   - the held-out loss, mean over all runs, fell over the last quarter of the steps by more than the means of the
///     encodings differ: longer runs may order them differently.
std::string shortness_warning(const StudyResults& results);

// --- Phrases ---
std::string percent(double share);                    // "12.5 %", a dash where it was not measured
bool has_rule(const StudyResults& results);           // that recognises the class of a sample
std::string seeds_text(const StudyResults& results);  // "3 seeds"
/// Of the held-out images, those that the losses at the end are over: "all" or their number.
std::string final_images_text(const StudyResults& results);
std::string sampling_text(const StudyResults& results);  // "guidance 1.5, all codes allowed"
/// "52.1 % to 60.3 %" of the samples of all seeds of an encoding; the draws alone, not the spread between seeds.
std::string share_interval(const StudyResults& results, const std::string& encoding, double* samples);

}  // namespace terrace
