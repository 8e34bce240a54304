// What the programs that draw images share: the models, the options of sampling, and drawing a batch.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/files/json.h"
#include "experiments/cli/options.h"
#include "experiments/cli/progress.h"
#include "var/tokenizer/vqvae.h"
#include "var/transformer/sampler.h"

namespace terrace {

/// Where a transformer and its tokenizer come from: files, or a preset drawn at random (to measure speed and memory).
struct ModelOptions {
  std::string checkpoint, tokenizer, class_names;
  std::string preset = "var-d16";
  int64_t random_weights = -1;  // seed; negative: from files
  std::string dtype = "f32";    // of the transformer's matrices
  int64_t heads = 0;            // where the checkpoint does not tell; 0: width / 64
};

/// --checkpoint --tokenizer --class-names --heads --model --random-weights --dtype.
void declare_models(Options& options, ModelOptions& models);

struct Models {
  std::unique_ptr<VarTransformer> transformer;  // both in eval mode
  std::unique_ptr<Vqvae> tokenizer;
  std::vector<std::string> class_names;  // may be empty

  int64_t num_classes() const { return transformer->config().num_classes; }
  int64_t image_size() const { return tokenizer->config().image_size(); }
  /// The class of a number or a name, num_classes() for "none". Throws ConfigError with the nearest name.
  int64_t class_of(const std::string& text, const std::string& option) const;
  /// "red disc", "207", "none".
  std::string class_name(int64_t label) const;
  /// What draws with these options: kept, so that the next batch finds what this one has recorded.
  Sampler& sampler(const SampleOptions& options, Sampler::Graphs graphs) const;

  mutable std::unique_ptr<Sampler> kept_sampler;
};

/// Both on `device`. Throws ConfigError where the two files do not belong together or too few options are given.
Models open_models(const ModelOptions& chosen, Device device);

/// `count` of each of so many classes. Throws ConfigError where the memory for their names is not there.
int64_t images_in_all(int64_t count, size_t classes);

/// `asked`, or where it is 0 as many images as have their keys and values in 1 GiB, at most 64. Throws
/// ConfigError where the memory for the keys and values of a batch, `count` at most, is not there.
int64_t fitting_batch(const Models& models, int64_t asked, int64_t count);

/// What tells one set of weights from another: path, size and time of both files, or the preset and its seed;
/// and the type that the transformer is kept in.
Json identity_of(const ModelOptions& chosen);

struct SamplingOptions {
  SampleOptions values{.cfg = 1.5, .top_k = 0, .top_p = 0.95};
  bool more_smooth = false, reproducible = false;
  bool graphs = true;
};

/// --cfg --top-k --top-p --more-smooth --reproducible --graphs.
void declare_sampling(Options& options, SamplingOptions& sampling);

/// What to draw.
struct DrawRequest {
  std::vector<int64_t> labels;
  std::vector<uint64_t> seeds;         // one per label
  const GivenTokens* given = nullptr;  // of an edit
  FHats f_hats = FHats::kLast;         // kEveryScale fills Drawn::scales
  std::function<void()> poll = {};     // before every scale
  Progress* progress = nullptr;        // shows which scale it is, and when images are decoded
};

/// Pictures, u8 (B, H, W, 3), and the seconds that they took.
struct Drawn {
  Tensor images;
  std::vector<Tensor> scales;  // the images after every scale
  double token_seconds = 0, decode_seconds = 0;
};

Drawn draw_images(const Models& models, const SamplingOptions& sampling, const DrawRequest& request);

/// f_hat (B, C, h, w) as pictures, u8 (B, H, W, 3); image by image on one thread where `sampling` is reproducible.
Tensor decode_pictures(const Models& models, const SamplingOptions& sampling, const Tensor& f_hat);

/// A name without what file systems mind.
std::string file_stem(std::string name);
/// "0042": at least four digits, so that names sort as numbers do.
std::string padded_number(int64_t number);
/// "1x1", "2x2", ...: captions of a strip over the scales.
std::vector<std::string> scale_captions(const Pyramid& pyramid);

}  // namespace terrace
