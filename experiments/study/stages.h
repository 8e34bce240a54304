// What the stages of a study share.
#pragma once

#include <chrono>
#include <cstdint>

#include "data/datasets/image_dataset.h"
#include "data/datasets/procedural.h"
#include "experiments/cli/timing.h"
#include "experiments/study/results.h"

namespace terrace {

using StudyClock = std::chrono::steady_clock;

inline constexpr int64_t kTrialSteps = 8;   // measured before steps are chosen
inline constexpr int64_t kLeastSteps = 20;  // that a time budget chooses
inline constexpr int64_t kStudyBatch = 64;  // images encoded or sampled at once

/// Whether the procedural set's rule can judge these images.
inline bool is_procedural(const ImageDataset& dataset) { return dataset.class_names() == procedural_class_names(); }

}  // namespace terrace
