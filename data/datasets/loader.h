// Batches of an image dataset, prepared ahead of the training step by threads. What comes, and in which order, depends
// on (seed, epoch) alone: not on the number of workers nor on timing; so a run stopped at (epoch, batch) goes on there.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/datasets/image_dataset.h"
#include "tensor/tensor.h"

namespace terrace {

enum class ImageFormat : uint8_t { kFloat, kBytes };  // f32 (B, 3, H, W) in [-1, 1]; u8 (B, H, W, 3)
enum class Order : uint8_t { kShuffled, kSequential };
enum class LastBatch : uint8_t { kDrop, kKeep };  // of an epoch, where it would be smaller
enum class Flip : uint8_t { kNever, kRandom };    // horizontally, with probability 1/2 by (seed, epoch, image)
enum class Preload : uint8_t { kNo, kYes };       // all images of the split into memory, as u8

struct LoaderOptions {
  int64_t batch = 64;
  uint64_t seed = 0;
  int64_t epoch = 0;  // where to begin
  int64_t step = 0;   // the first batch of that epoch to give
  int workers = 1;    // threads; 0: everything in next()
  int64_t ahead = 4;  // batches prepared at most beyond what was taken
  ImageFormat format = ImageFormat::kFloat;
  Order order = Order::kShuffled;
  LastBatch last = LastBatch::kDrop;
  Flip flip = Flip::kNever;
  Preload preload = Preload::kNo;
};

struct Batch {
  Tensor images;
  Tensor labels;   // i64 (B)
  Tensor indices;  // i64 (B): positions in the split
  int64_t epoch = 0;
  int64_t step = 0;  // within the epoch
};

class Loader {
 public:
  /// Throws ConfigError where the options cannot give a batch.
  Loader(ImageDataset dataset, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next batch; after the last of an epoch comes the first of the next one. What a worker threw is thrown here.
  Batch next();
  int64_t steps_per_epoch() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The order of an epoch: a permutation of 0..count-1, a function of (seed, epoch) alone.
std::vector<int64_t> epoch_order(int64_t count, uint64_t seed, int64_t epoch);

}  // namespace terrace
