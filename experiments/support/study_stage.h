// What the stages of a study share.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "data/dataset.h"
#include "data/procedural.h"
#include "experiments/support/study_results.h"

namespace terrace {

using StudyClock = std::chrono::steady_clock;

inline constexpr uint64_t kInitStream = uint64_t{7} << 40;  // initial weights; the trainers' streams lie elsewhere
inline constexpr int64_t kTrialSteps = 8;                   // measured before steps are chosen
inline constexpr int64_t kLeastSteps = 20;                  // that a time budget chooses
inline constexpr int64_t kStudyBatch = 64;                  // images encoded or sampled at once

inline double seconds_since(StudyClock::time_point start) {
  return std::chrono::duration<double>(StudyClock::now() - start).count();
}

template <class F>
double seconds_of(const F& f) {
  const StudyClock::time_point start = StudyClock::now();
  f();
  return seconds_since(start);
}

inline double median(std::vector<double> values) {
  if (values.empty()) return kNotMeasured;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Whether the procedural set's rule can judge these images.
inline bool is_procedural(const ImageDataset& dataset) { return dataset.class_names() == procedural_class_names(); }

}  // namespace terrace
