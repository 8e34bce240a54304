// How --minutes divides the time of a study between training and what is measured. Training gets two thirds or more,
// wherever the options that are given leave it so much.
#pragma once

#include <cstdint>
#include <optional>

namespace terrace {

/// Shares of --minutes: of the tokenizer's training, and of encoding, reconstructing and the reference's features.
/// What is left, without the reserve for the report and what was not foreseen, is divided between the transformers.
inline constexpr double kTokenizerShare = 0.3, kTokensShare = 0.08, kReserve = 0.06;
/// Shares of the time of one transformer: of held-out losses, and of samples and their Frechet distance.
inline constexpr double kEvaluationShare = 0.07, kSamplingShare = 0.13;
inline constexpr double kTrainingShare = 1 - kEvaluationShare - kSamplingShare;

/// Of --minutes, that one measurement of what things cost may take.
inline constexpr double kTrialShare = 0.02;

inline constexpr int64_t kMinSteps = 20;  // the fewest that --minutes gives
/// With fewer steps a tokenizer or a transformer is told to be too short to compare anything.
inline constexpr int64_t kFewSteps = 100;

/// Seconds, each of one image.
struct TokenCosts {
  double encode = 0, reconstruct = 0, distance = 0;
};
/// Numbers of images that tokens are made of and figures are measured on.
struct TokenCounts {
  int64_t train = 0, held_out = 0, frechet = 0;
};
/// The most images of each kind that take `seconds`, within `most`, though never fewer than 256 to train on, 64 held
/// out and 32 of the distance. A kind whose number was given has a cost, and is not changed.
TokenCounts plan_tokens(double seconds, const TokenCosts& costs, const TokenCounts& most, bool train_given,
                        bool held_out_given, bool frechet_given);

/// Seconds: of a training step, a held-out image, a sample drawn and decoded, and an image's features.
struct RunCosts {
  double step = 0, evaluation = 0, sample = 0, distance = 0;
};
struct RunLimits {
  int64_t held_out = 0, classes = 0;
  int64_t samples = 0;  // of each class, at most
  int64_t frechet = 0;  // images that the distance is measured on, at most
  std::optional<int64_t> steps = {};
  bool samples_given = false;
};
/// What every transformer of a study does.
struct RunPlan {
  int64_t steps = 0;
  int64_t evaluate_every = 0;  // steps between held-out losses
  int64_t curve_images = 0;    // held-out images of these
  int64_t final_images = 0;    // held-out images of the figure at the end
  int64_t sampled_classes = 0, samples = 0;
  double seconds = 0, step_seconds = 0;  // that one is expected to take, and its steps alone
};
RunPlan plan_run(double seconds, const RunCosts& costs, const RunLimits& limits);

/// --minutes that gives each of `runs` transformers kFewSteps steps.
double minutes_for_few_steps(double runs, double step_seconds, bool trains_tokenizer);

}  // namespace terrace
