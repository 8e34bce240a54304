// The VAR transformer: logits of every token of the pyramid from the class and the coarser scales.
//
// Parameter names equal the official state_dict keys. B images, L tokens, C channels, H heads, V codes.
// Source: Tian et al., "Visual Autoregressive Modeling" (arXiv 2404.02905) and the authors' model code.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "autograd/ops/attention.h"
#include "nn/layers.h"
#include "var/config.h"
#include "var/positions/encoding.h"
#include "var/pyramid.h"

namespace terrace {

enum class Recompute : uint8_t { kNothing, kBlocks };  // activation checkpointing: keep all, or each block's input only

/// Keys and values of the scales done so far, for sampling: per block (B, L, H, D) each, of the weights' dtype.
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
  SelfAttention(const VarConfig& config, Generator& g);
  Variable forward(const Variable& x, const Visibility& visibility) const;  // (B, L, C)
  /// The tokens x (B, l, C) attend to those in the cache and to themselves; their keys and values are appended to the
  /// cache's entry `index`. No graph is recorded through the cache.
  Variable forward_cached(const Variable& x, KeyValueCache& cache, size_t index) const;

  Linear mat_qkv;           // without bias: q and v have one each, k's is zero
  Variable q_bias, v_bias;  // (C)
  Variable scale_mul;       // scale_mul_1H11 (1, H, 1, 1), with attn_l2_norm
  Tensor zero_k_bias;       // (C), a buffer
  Linear proj;

 private:
  Variable project_qkv(const Variable& x) const;  // (B, L, 3C)
  int64_t heads_;
  double softmax_scale_;
};

class FeedForward : public Module {
 public:
  FeedForward(const VarConfig& config, Generator& g);
  Variable forward(const Variable& x) const;
  Linear fc1, fc2;
};

class VarBlock : public Module {
 public:
  VarBlock(const VarConfig& config, double drop_path_rate, Generator& g);
  /// The block's six vectors: from the condition (B, C), or from the vectors (B, 6, C) that all blocks share.
  Modulation modulation(const Variable& condition, const Variable& shared) const;
  Variable forward(const Variable& x, const Modulation& m, const Visibility& visibility) const;
  Variable forward_cached(const Variable& x, const Modulation& m, KeyValueCache& cache, size_t index) const;

  SelfAttention attn;
  FeedForward ffn;
  std::unique_ptr<SiluLinear> ada_lin;  // C -> 6C, without shared_aln
  Variable ada_gss;                     // (1, 1, 6, C), with it

 private:
  template <class Attend>
  Variable run(const Variable& x, const Modulation& m, const Attend& attend) const;
  double norm_eps_, drop_rate_, drop_path_rate_;
};

class VarTransformer : public Module {
 public:
  /// Starts as the official model (initialise() in the .cpp), drawn from `generator`.
  VarTransformer(const VarConfig& config, Generator& generator);

  /// Teacher forcing. labels (B) i64 in [0, num_classes] (num_classes = no class), input (B, l-n_0, Cvae): the
  /// area-downsampled running reconstruction for every token but the n_0 = patch_nums[0]^2 (mostly one) of the first
  /// scale; l is the end of some scale (progressive training sees fewer scales). Returns logits (B, l, V). In training
  /// mode labels are dropped by cond_drop_rate and paths by drop_path_rate, drawn from default_generator(). Throws
  /// ShapeError, IndexError.
  /// Under a ComputeWith of compute_in_bf16() everything from the first block to the head's product is bf16, as in the
  /// authors' mixed precision; norms' statistics, softmax and sums are f32 inside. The logits are f32: the sums of the
  /// head's f32 sums of bf16 products plus its f32 bias.
  Variable forward(const Tensor& labels, const Variable& input, Recompute recompute = Recompute::kNothing);

  // --- The parts of forward ---
  Conditions conditions(const Tensor& labels) const;
  Variable embed_input(const Conditions& c, const Variable& input);  // (B, l, C): what enters block 0
  Variable logits(const Variable& x, const Conditions& c) const;
  Variable head_norm(const Variable& x, const Conditions& c) const;  // what the head's product sees

  // --- Sampling: one scale at a time, no graph ---
  KeyValueCache make_cache(int64_t batch) const;
  /// Logits (B, n_s, V) of scale `scale`; input (B, n_s, Cvae), undefined for scale 0.
  Tensor next_scale(int64_t scale, const Tensor& input, const Conditions& c, KeyValueCache& cache);

  const VarConfig& config() const { return config_; }
  const Pyramid& pyramid() const { return pyramid_; }
  /// Where the weights are. to() of Module moves them.
  Device device() const { return pos_start.device(); }
  const PositionalEncoding& positions() const { return *positions_; }
  const Tensor& level_of_token() const { return level_of_token_; }  // i64 (1, L)
  /// RMS of position tables, pos_start and the level embedding as they are now.
  std::vector<TableSummary> table_summary() const;
  /// Sees the gradient (1, l, C) of what the positional encoding adds, fixed tables included; empty function: off.
  void observe_position_gradient(std::function<void(const Tensor& gradient)> observer);
  /// What training in bf16 keeps copies of (nn/compute_copies.h): the parameters of the blocks and the head. What
  /// enters the first block - embeddings, positions, the product with the codes' few channels -, the scale of attention
  /// and the bias of the logits stay f32.
  NamedParameters compute_in_bf16() const;
  /// Names of the parameters that weight decay leaves alone, beside those of one dimension and biases.
  std::vector<std::string> no_decay_names() const;

  Linear word_embed;                     // Cvae -> C
  Embedding class_emb;                   // num_classes + 1 rows
  Variable pos_start;                    // (1, n_0, C)
  std::unique_ptr<Embedding> lvl_embed;  // S rows, with level embedding
  std::unique_ptr<SiluLinear> shared_ada_lin;
  std::vector<std::unique_ptr<VarBlock>> blocks;
  SiluLinear head_ada_lin;  // C -> 2C
  Linear head;

 private:
  VarTransformer(const VarConfig& config, Generator& initial, Generator scratch);
  void initialise(Generator& generator);
  void check_input(const Tensor& labels, const Variable& input) const;
  Tensor drop_labels(const Tensor& labels) const;
  Variable position_terms(int64_t begin, int64_t end) const;  // (1, end - begin, C), undefined where nothing is added

  VarConfig config_;
  Pyramid pyramid_;
  std::unique_ptr<PositionalEncoding> positions_;
  Tensor level_of_token_;  // lvl_1L, i64 (1, L), a buffer
  std::function<void(const Tensor&)> position_observer_;
};

}  // namespace terrace
