// The VAR transformer: logits of every token of the pyramid from the class and the coarser scales.
//
// Parameter names equal the official state_dict keys. B images, L tokens, C channels, H heads, V codes.
// Source: Tian et al., "Visual Autoregressive Modeling" (arXiv 2404.02905) and the authors' model code.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "autograd/ops/attention.h"
#include "nn/layers.h"
#include "nn/module.h"
#include "var/config.h"
#include "var/positional_encoding.h"
#include "var/pyramid.h"

namespace terrace {

enum class Recompute : uint8_t { kNothing, kBlocks };  // activation checkpointing: keep all, or each block's input only

/// Keys and values of the scales done so far, for sampling: per block (B, L, H, D) each.
struct KeyValueCache {
  std::vector<Tensor> keys, values;
  int64_t length = 0;  // tokens that are in
};

/// The adaLN vectors of one place, each (B, 1, C).
struct Modulation {
  Variable gamma1, gamma2, scale1, scale2, shift1, shift2;
};

/// Everything that depends on the class alone: computed once for a forward, once for all scales in sampling.
struct Conditions {
  Variable embedding;  // (B, C)
  Variable shared;     // (B, 1, 6, C) with shared_aln, else undefined
  std::vector<Modulation> blocks;
  Variable head_scale, head_shift;  // (B, 1, C)
};

class SelfAttention : public Module {
 public:
  SelfAttention(const VarConfig& config);
  Variable forward(const Variable& x, const Visibility& visibility);  // (B, L, C)
  /// Attends to the cache and the scale x (B, l, C), which is appended to the cache of block `index`. Records no graph.
  Variable forward_cached(const Variable& x, KeyValueCache& cache, size_t index);
  Variable qkv_weight, q_bias, v_bias, scale_mul;
  Tensor zero_k_bias;
  Linear proj;

 private:
  Variable qkv(const Variable& x);
  int64_t heads_;
  double softmax_scale_;
};

class FeedForward : public Module {
 public:
  FeedForward(const VarConfig& config);
  Variable forward(const Variable& x);
  Linear fc1, fc2;
};

class VarBlock : public Module {
 public:
  VarBlock(const VarConfig& config, double drop_path_rate);
  Modulation modulation(const Variable& silu_condition, const Variable& shared);
  Variable forward(const Variable& x, const Modulation& m, const Visibility& visibility);
  Variable forward_cached(const Variable& x, const Modulation& m, KeyValueCache& cache, size_t index);
  SelfAttention attn;
  FeedForward ffn;
  std::unique_ptr<Linear> ada_lin;  // C -> 6C, without shared_aln
  Variable ada_gss;                 // (1, 1, 6, C), with it

 private:
  template <class Attend>
  Variable run(const Variable& x, const Modulation& m, Attend attend);
  double norm_eps_, drop_rate_, drop_path_rate_;
};

class VarTransformer : public Module {
 public:
  /// Initialised as the official model (facts in the .cpp beside init) from `generator`.
  VarTransformer(const VarConfig& config, Generator& generator);

  /// Teacher forcing. labels (B) i64 in [0, num_classes] (num_classes = no class), input (B, l-1, Cvae): the
  /// area-downsampled running reconstruction for every token but the first; l is the end of some scale (progressive
  /// training sees fewer scales). Returns logits (B, l, V). In training mode labels are dropped by cond_drop_rate and
  /// paths by drop_path_rate, drawn from default_generator(). Throws ShapeError, IndexError.
  Variable forward(const Tensor& labels, const Tensor& input, Recompute recompute = Recompute::kNothing);
  Variable forward(const Tensor& labels, const Variable& input, Recompute recompute = Recompute::kNothing);

  // --- The parts of forward ---
  Conditions conditions(const Tensor& labels);
  Variable embed_input(const Conditions& c, const Variable& input);  // (B, l, C): what enters block 0
  Variable head(const Variable& x, const Conditions& c);             // logits
  Variable head_norm(const Variable& x, const Conditions& c);        // what the head's product sees

  // --- Sampling: one scale at a time, no graph ---
  KeyValueCache make_cache(int64_t batch) const;
  /// Logits (B, n_s, V) of scale `scale`; input (B, n_s, Cvae), undefined for scale 0.
  Tensor next_scale(int64_t scale, const Tensor& input, const Conditions& c, KeyValueCache& cache);

  const VarConfig& config() const { return config_; }
  const Pyramid& pyramid() const { return pyramid_; }
  PositionalEncoding& positions() { return *positions_; }
  /// RMS of position tables, pos_start and the level embedding as they are now.
  std::vector<TableSummary> table_summary();
  /// Sees the gradient (1, l, C) of what the positional encoding adds, fixed tables included; empty function: off.
  void observe_position_gradient(std::function<void(const Tensor& gradient)> observer);
  /// Parameters that weight decay leaves alone: 1-D ones, biases, tables, level embedding, scale_mul, ada_gss.
  static bool decays(const std::string& name, const Variable& parameter);

  Linear word_embed;
  Embedding class_emb;
  Variable pos_start;                    // (1, 1, C)
  std::unique_ptr<Embedding> lvl_embed;  // S rows, with level embedding
  std::unique_ptr<Linear> shared_ada_lin;
  std::vector<std::unique_ptr<VarBlock>> blocks;
  Linear head_ada, head_linear;

 private:
  void initialise(Generator& generator);
  Tensor drop_labels(const Tensor& labels) const;
  Variable position_terms(int64_t begin, int64_t end);  // (1, end-begin, C), undefined where nothing is added
  Visibility visibility(int64_t length) const;

  VarConfig config_;
  Pyramid pyramid_;
  std::unique_ptr<PositionalEncoding> positions_;
  Tensor level_of_token_;  // lvl_1L, i64 (1, L)
  std::function<void(const Tensor&)> position_observer_;
};

}  // namespace terrace
