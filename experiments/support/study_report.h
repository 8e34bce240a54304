// The study's report: one self-contained HTML page from what was measured.
#pragma once

#include <string>

#include "experiments/support/report/html.h"
#include "experiments/support/report/statistics.h"
#include "experiments/support/study_results.h"

namespace terrace {

/// report.html
std::string study_report(const StudyResults& results);

/// One figure of the runs that two encodings can be compared by, paired over the seeds they share.
struct Contrast {
  std::string encoding, baseline;
  PairedComparison held_out_loss, own_share;
};
/// Every encoding against the first.
std::vector<Contrast> contrasts(const StudyResults& results);
/// What may be said about the differences, in a sentence or two; says so where the seeds do not allow anything.
std::string significance_sentence(const StudyResults& results);

// --- The parts of the page ---
void report_summary(const StudyResults& results, Html& page);
void report_curves(const StudyResults& results, Html& page);
void report_tokenizer(const StudyResults& results, Html& page);
void report_samples(const StudyResults& results, Html& page);
void report_tables(const StudyResults& results, Html& page);  // gradients, images, similarities, sizes
void report_cost(const StudyResults& results, Html& page);
void report_setup(const StudyResults& results, Html& page);

/// Cosine of every row of (L, C) with every other: (L, L).
Tensor cosine_similarity(const Tensor& table);

}  // namespace terrace
