// One Frechet distance for a training or a study: the reference goes through the network once, then any number of sets
// of images are compared with it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/datasets/image_dataset.h"
#include "experiments/cli/options.h"
#include "metrics/frechet.h"
#include "metrics/reference_cache.h"
#include "var/tokenizer/vqvae.h"
#include "var/transformer/sampler.h"

namespace terrace {

class FrechetEvaluator {
 public:
  /// `name` is what the distance may be called, `about` what it is measured with, in a clause. reference: u8
  /// (N, H, W, 3). Throws what collect() throws.
  FrechetEvaluator(std::string name, std::string about, FeatureNetwork network, const Tensor& reference,
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

/// Features of an image from the tokenizer's encoder: mean and deviation over the map of each channel of encode(),
/// 2 z_channels numbers. A distance in them needs no other network, and compares with distances of the same tokenizer
/// alone. The model outlives the network.
FeatureNetwork tokenizer_features(const Vqvae& tokenizer);
/// An evaluator with these features. The distance depends on the tokenizer, so nothing is cached.
std::unique_ptr<FrechetEvaluator> tokenizer_evaluator(const Vqvae& tokenizer, const Tensor& reference);

/// How a training or a study measures the Frechet distance.
struct EvaluatorOptions {
  int64_t images = 0;        // on either side, at most; 0: no distance is measured
  int64_t level = 64;        // of Inception; the first is read after a few layers, at six times the speed of the third
  std::string weights = {};  // of Inception; "": find_inception_weights()

  /// --frechet-images --frechet-level --inception.
  void declare(Options& options, const std::string& images_help);
};

/// FID(level) where weights of Inception are found, the reference cached (pytorch-fid's protocol); else the tokenizer's
/// evaluator. Throws ConfigError where weights that are there do not reach the level.
std::unique_ptr<FrechetEvaluator> open_evaluator(const Vqvae& tokenizer, const Tensor& reference,
                                                 const EvaluatorOptions& options);

/// An image of each label, u8 (N, H, W, 3), drawn with the model's present weights: guidance 1.5, top-p 0.95, the seed
/// of an image its number, so that two calls differ by the weights alone. The tokenizer is in eval mode.
Tensor draw_images(VarTransformer& model, Vqvae& tokenizer, const std::vector<int64_t>& labels);

/// The evaluator of a trainer: the distance of samples to some of a dataset's images, that of the tokenizer's
/// reconstructions of these beside it.
class SampleEvaluator {
 public:
  /// options.images on either side, at most as many as the dataset has. Throws ConfigError for fewer than two. The
  /// tokenizer, in eval mode, outlives it.
  SampleEvaluator(Vqvae& tokenizer, const ImageDataset& dataset, const EvaluatorOptions& options);

  /// Of draw_images() of the classes in turn.
  double distance(VarTransformer& model) const;
  double distance_of_reconstructions() const { return of_reconstructions_; }
  const FrechetEvaluator& frechet() const { return *evaluator_; }
  /// "Frechet distance ...: 1.2 of 256 samples, 0.3 of reconstructions, to 256 images"
  std::string line(double distance) const;

 private:
  Vqvae& tokenizer_;
  int64_t images_;
  std::unique_ptr<FrechetEvaluator> evaluator_;
  double of_reconstructions_ = 0;
};

}  // namespace terrace
