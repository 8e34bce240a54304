// Every stream of random numbers that the project draws from, in one list (tensor/random.h: a draw is a function of
// seed, stream and offset). Two purposes of one seed that shared a stream would draw the same numbers. The numbers are
// part of what a seed means: results of earlier versions are reproduced only as long as they stay as they are.
#pragma once

#include <cstddef>
#include <cstdint>

namespace terrace::streams {

/// Streams first, first + 1, ... for one purpose: one each for what its comment says. `+` picks one of them.
struct Range {
  uint64_t first, count;
  constexpr uint64_t operator+(int64_t index) const { return first + static_cast<uint64_t>(index); }
  constexpr bool overlaps(const Range& other) const {
    return first < other.first + other.count && other.first < first + count;
  }
};

// --- Of a run's seed (--seed) ---

/// Initial weights, as the programs start them, and whatever draws from default_generator() outside a trainer.
inline constexpr uint64_t kDefault = 0;
/// The tokenizer's weights where `sample --random-weights` draws both models from one seed.
inline constexpr uint64_t kTokenizerWeights = 1;

inline constexpr uint64_t kTrainingCount = uint64_t{1} << 40;
/// VarTrainer: the order of the images, one an epoch.
inline constexpr Range kTransformerOrder{uint64_t{1} << 40, kTrainingCount};
/// VarTrainer: dropout, dropped labels and dropped paths, one a step.
inline constexpr Range kTransformerStep{uint64_t{2} << 40, kTrainingCount};
/// VqvaeTrainer: the k-means that the codebook starts from; the first alone is used.
inline constexpr Range kCodebookStart{uint64_t{3} << 40, kTrainingCount};
/// VqvaeTrainer: where unused codes are moved, one a step.
inline constexpr Range kCodebookRevival{uint64_t{4} << 40, kTrainingCount};
/// VqvaeTrainer: dropout, one a step.
inline constexpr Range kTokenizerStep{uint64_t{5} << 40, kTrainingCount};

/// VarTransformer: what only some positional encodings have. It is added to the stream of the other weights, and so is
/// the next: parameters that models of one seed have in common are then equal, whatever the encoding.
inline constexpr uint64_t kPositionOffset = uint64_t{6} << 40;
inline constexpr uint64_t kLevelOffset = uint64_t{7} << 40;

/// The study's initial weights, with the two offsets in 13 << 40 and 14 << 40. It equals kDefault + kLevelOffset, which
/// no model of a study draws from.
inline constexpr uint64_t kStudyWeights = uint64_t{7} << 40;

inline constexpr uint64_t kLoaderCount = uint64_t{1} << 32;
/// Loader: the order of the images, one an epoch.
inline constexpr Range kLoaderOrder{uint64_t{0x4f524452} << 32, kLoaderCount};
/// Loader: which images are flipped, one an epoch.
inline constexpr Range kLoaderFlip{uint64_t{0x464c4950} << 32, kLoaderCount};

// --- Of an image's seed, in sampling ---

/// The choice of tokens, one draw each.
inline constexpr uint64_t kSampleChoice = 0;
/// The noise of the smooth mix, one stream a token.
inline constexpr Range kSampleNoise{1, uint64_t{1} << 32};

// --- Of the seed of an evaluation ---

/// Kernel distance: the rows of subset s, 2 s of one set and 2 s + 1 of the other.
inline constexpr Range kKernelSubsets{0, uint64_t{1} << 20};
/// Confidence interval of a Frechet distance, one a replicate.
inline constexpr Range kBootstrap{uint64_t{1} << 20, uint64_t{1} << 20};
/// Frechet distance over the number of images, one a point.
inline constexpr Range kFrechetCurve{uint64_t{1} << 21, uint64_t{1} << 20};

// --- Of seed 0, whatever the run's seed: choices that are the same for every run ---

/// prepare_data: the order in which the files of an image folder are stored.
inline constexpr uint64_t kFolderOrder = 0;
/// part_of: which images stand for a whole split.
inline constexpr uint64_t kPartOfSplit = 0x9a27;

// The procedural dataset has a seed of its own and a stream for each picture: index x classes + class.

namespace detail {

template <size_t N>
consteval bool disjoint(const Range (&ranges)[N]) {
  for (size_t i = 0; i < N; ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (ranges[i].overlaps(ranges[j])) { return false; }
    }
  }
  return true;
}

static_assert(disjoint({{kDefault, 1},
                        {kTokenizerWeights, 1},
                        kTransformerOrder,
                        kTransformerStep,
                        kCodebookStart,
                        kCodebookRevival,
                        kTokenizerStep,
                        {kDefault + kPositionOffset, 1},
                        {kStudyWeights, 1},
                        {kStudyWeights + kPositionOffset, 1},
                        {kStudyWeights + kLevelOffset, 1},
                        kLoaderOrder,
                        kLoaderFlip}));
static_assert(disjoint({{kSampleChoice, 1}, kSampleNoise}));
static_assert(disjoint({kKernelSubsets, kBootstrap, kFrechetCurve}));
static_assert(disjoint({{kFolderOrder, 1}, {kPartOfSplit, 1}}));

}  // namespace detail
}  // namespace terrace::streams
