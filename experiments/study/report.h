// The study's report: one self-contained HTML page from what was measured.
#pragma once

#include <string>

#include "experiments/report/html.h"
#include "experiments/study/comparison.h"

namespace terrace {

/// report.html
std::string study_report(const StudyResults& results);

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
