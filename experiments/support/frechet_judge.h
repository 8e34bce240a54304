// One Frechet distance for a training or a study: the reference goes through the network once, then any number of sets
// of images are compared with it.
#pragma once

#include <memory>
#include <string>

#include "metrics/frechet.h"
#include "metrics/reference_cache.h"
#include "var/vqvae.h"

namespace terrace {

class FrechetJudge {
 public:
  /// `name` is what the distance may be called, `about` what it is measured with, in a clause. reference: u8
  /// (N, H, W, 3). Throws what collect() throws.
  FrechetJudge(std::string name, std::string about, FeatureNetwork network, const Tensor& reference,
               const ReferenceCache& cache);

  /// Of images u8 (N, H, W, 3), two or more, to the reference.
  double distance(const Tensor& images) const;

  const std::string& name() const { return name_; }
  const std::string& about() const { return about_; }
  int64_t reference_images() const { return count_; }

 private:
  std::string name_, about_;
  FeatureNetwork network_;
  std::unique_ptr<FrechetReference> reference_;
  int64_t count_ = 0;
};

/// The tokenizer's own view of an image: mean and deviation over the map of each channel of encode(), 2 z_channels
/// numbers. A distance in it needs no other network, and compares with itself alone. The model outlives the network.
FeatureNetwork tokenizer_features(const Vqvae& tokenizer);
/// A judge by them. The distance depends on the tokenizer, so nothing is cached.
std::unique_ptr<FrechetJudge> tokenizer_judge(const Vqvae& tokenizer, const Tensor& reference);

}  // namespace terrace
