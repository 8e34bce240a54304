// Generation, scale by scale: guidance, top-k, top-p, one draw a token, keys and values cached.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "var/tokenizer/quantizer.h"
#include "var/transformer/transformer.h"

namespace terrace {

/// kOn: a token's features are a Gumbel-softmax mixture of codes (`more_smooth` of the official code).
enum class Smoothing : uint8_t { kOff, kOn };

struct SampleOptions {
  /// Classifier-free guidance: the logits of scale s are (1 + t) cond - t uncond with t = cfg s / (S - 1). 0: no
  /// guidance, half the work.
  double cfg = 1.5;
  int64_t top_k = 0;  // 0: all
  double top_p = 0;   // 0: all
  Smoothing smoothing = Smoothing::kOff;
  bool operator==(const SampleOptions&) const = default;
};

struct Sampled {
  std::vector<Tensor> indices;  // per scale (B, n_s) i64
  Tensor f_hat;                 // (B, Cvae, h, w): what the tokenizer's decoder takes
  std::vector<Tensor> f_hats;   // f_hat after every scale, where SampleExtras asks for them
};

/// What happens at a scale, for inspection and tests.
struct ScaleView {
  int64_t scale;
  Tensor logits;      // (B, n_s, V) guided, before filtering
  Tensor indices;     // (B, n_s)
  Tensor f_hat;       // (B, Cvae, h, w) after the scale
  Tensor next_input;  // (B, Cvae, p', p') for the next scale; undefined at the last
};

/// Tokens that are known already: where `keep` is true, the sampler takes `indices` in place of what it drew.
struct GivenTokens {
  Tensor indices;  // (B, L) i64
  Tensor keep;     // (B, L) bool
};

enum class FHats : uint8_t { kLast, kEveryScale };

/// What a caller may add to a run; none of it changes the draws.
struct SampleExtras {
  std::function<void(const ScaleView&)> observe = {};  // after every scale
  /// Before every scale, with its number; may throw to stop. Several threads call it in sample_reproducibly().
  std::function<void(int64_t)> poll = {};
  const GivenTokens* given = nullptr;
  FHats f_hats = FHats::kLast;
};

/// Draws batch after batch with the same options; the models outlive it and stay where they are. On a device (not the
/// CPU) the second batch of one size records the kernels of every scale (tensor/device/device_graph.h); it and later
/// ones replay them, to the same tokens. Where a scale cannot be recorded, and where scales are observed, its kernels
/// are launched one by one. Not for two threads at once.
class Sampler {
 public:
  enum class Graphs : uint8_t { kNo, kYes };
  /// Throws ConfigError.
  Sampler(VarTransformer& model, Quantizer& quantizer, const SampleOptions& options, Graphs graphs = Graphs::kYes);
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  /// As sample().
  Sampled operator()(const Tensor& labels, const std::vector<uint64_t>& seeds, const SampleExtras& extras = {});
  const SampleOptions& options() const { return options_; }
  /// How many scales another batch of the last one's size would replay.
  int64_t recorded_scales() const;
  /// Why a scale could not be recorded; empty where none was refused.
  const std::string& not_recorded() const { return not_recorded_; }

 private:
  struct Batch;
  void begin(const Tensor& labels, const std::vector<uint64_t>& seeds, const GivenTokens* given);
  bool replay_scale(int64_t s);
  void launch_scale(int64_t s, bool keep_logits);
  Tensor choose(int64_t s, Tensor& logits) const;
  Tensor map_of(int64_t s, const Tensor& indices, Tensor& logits) const;

  VarTransformer& model_;
  Quantizer& quantizer_;
  SampleOptions options_;
  Graphs graphs_;
  std::unique_ptr<Batch> batch_;
  std::string not_recorded_;
};

/// One image for every label (B) i64 (num_classes: no class). seeds: one per image; an image's draws depend on its own
/// seed only (Philox stream per scale, one draw per token), not on the batch. top_k = 1 is greedy and draws nothing.
/// Runs in eval mode without a graph. Throws ConfigError, ShapeError, IndexError.
Sampled sample(VarTransformer& model, Quantizer& quantizer, const Tensor& labels, const std::vector<uint64_t>& seeds,
               const SampleOptions& options, const SampleExtras& extras);
inline Sampled sample(VarTransformer& model, Quantizer& quantizer, const Tensor& labels,
                      const std::vector<uint64_t>& seeds, const SampleOptions& options,
                      std::function<void(const ScaleView&)> observe = {}) {
  return sample(model, quantizer, labels, seeds, options, SampleExtras{.observe = std::move(observe)});
}

/// The same bits of an image whatever the batch, the number of threads and the other images: each image by itself on
/// one thread, several images at once. extras.observe is not called.
Sampled sample_reproducibly(VarTransformer& model, Quantizer& quantizer, const Tensor& labels,
                            const std::vector<uint64_t>& seeds, const SampleOptions& options,
                            const SampleExtras& extras = {});

/// (N, V) logits, in place: all but the top_k largest (ties with the k-th stay) become -inf, then those of ascending
/// cumulative probability <= 1 - top_p; the best always stays.
void filter_logits_(Tensor& logits, int64_t top_k, double top_p);

}  // namespace terrace
