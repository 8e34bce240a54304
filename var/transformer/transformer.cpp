#include "var/transformer/transformer.h"

#include <algorithm>
#include <cmath>

#include "autograd/checkpoint.h"
#include "autograd/functions.h"
#include "nn/compute_copies.h"
#include "nn/init.h"
#include "tensor/device/allocator.h"
#include "tensor/pointwise.h"
#include "tensor/random_streams.h"
#include "var/positions/encodings.h"

namespace terrace {
namespace {

const double kMaxLogScale = std::log(100.0);  // scale_mul is a logarithm, clamped here

/// Splits (B, n*C) or (.., n, C) conditions into n vectors (B, 1, C).
std::vector<Variable> vectors(const Variable& x, int64_t n, int64_t C) {
  const Variable rows = reshape(x, {-1, n, C});
  std::vector<Variable> parts;
  for (int64_t i = 0; i < n; ++i) { parts.push_back(slice(rows, 1, i, i + 1)); }
  return parts;
}

/// Where `g` stands, in the stream `stream_offset` further on.
Generator own_stream(const Generator& g, uint64_t stream_offset) {
  Generator own(g.seed, g.stream + stream_offset);
  own.offset = g.offset;
  return own;
}

}  // namespace

// --- Attention ------------------------------------------------------------------------------------------------------

SelfAttention::SelfAttention(const VarConfig& config, Generator& g)
    : mat_qkv(config.embed_dim, 3 * config.embed_dim, Bias::kNo, g),
      q_bias(Tensor::zeros({config.embed_dim}), Requires::kGrad),
      v_bias(Tensor::zeros({config.embed_dim}), Requires::kGrad),
      zero_k_bias(Tensor::zeros({config.embed_dim})),
      proj(config.embed_dim, config.embed_dim, Bias::kYes, g),
      heads_(config.num_heads),
      softmax_scale_(config.attn_l2_norm ? 1
                                         : 0.25 / std::sqrt(static_cast<double>(config.embed_dim) /
                                                            static_cast<double>(config.num_heads))) {
  if (config.attn_l2_norm) {
    scale_mul = Variable(Tensor::full({1, heads_, 1, 1}, std::log(4.0)), Requires::kGrad);
    register_parameter("scale_mul_1H11", scale_mul);
  }
  register_parameter("q_bias", q_bias);
  register_parameter("v_bias", v_bias);
  register_buffer("zero_k_bias", zero_k_bias);
  register_module("mat_qkv", mat_qkv);
  register_module("proj", proj);
}

Variable SelfAttention::project_qkv(const Variable& x) const {
  const Variable q = compute_copy(q_bias), v = compute_copy(v_bias);
  return linear(x, compute_copy(mat_qkv.weight), concat({q, Variable(zero_k_bias.to(q.dtype())), v}, 0));
}

Variable SelfAttention::forward(const Variable& x, const Visibility& visibility) const {
  return proj(pyramid_attention(project_qkv(x), heads_, scale_mul, visibility, softmax_scale_));
}

Variable SelfAttention::forward_cached(const Variable& x, KeyValueCache& cache, size_t index) const {
  const int64_t B = x.dim(0), l = x.dim(1), C = x.dim(2);
  const Variable qkv = reshape(project_qkv(x), {B, l, 3, heads_, C / heads_});
  Variable q = select(qkv, 2, 0);
  Variable k = select(qkv, 2, 1);
  if (scale_mul.defined()) {
    q = l2_normalize(q) * reshape(exp(clamp_max(scale_mul, kMaxLogScale)), {1, 1, heads_, 1});
    k = l2_normalize(k);
  }
  const int64_t begin = cache.length, end = begin + l;
  Tensor &keys = cache.keys[index], &values = cache.values[index];
  if (end > keys.dim(1)) {
    throw ShapeError(
        cat("VAR attention: the cache holds ", keys.dim(1), " tokens, ", begin, " are in, ", l, " more came"));
  }
  keys.slice(1, begin, end).copy_(k.value());
  values.slice(1, begin, end).copy_(qkv.value().select(2, 2));
  const Variable attended = attention(terrace::to(q, keys.dtype()), Variable(keys.slice(1, 0, end)),
                                      Variable(values.slice(1, 0, end)), Visibility::full(), softmax_scale_);
  return proj(terrace::to(attended, x.dtype()));
}

// --- MLP and block --------------------------------------------------------------------------------------------------

FeedForward::FeedForward(const VarConfig& config, Generator& g)
    : fc1(config.embed_dim, config.hidden_dim(), Bias::kYes, g),
      fc2(config.hidden_dim(), config.embed_dim, Bias::kYes, g) {
  register_module("fc1", fc1);
  register_module("fc2", fc2);
}

Variable FeedForward::forward(const Variable& x) const {
  return feed_forward(x, compute_copy(fc1.weight), compute_copy(fc1.bias), compute_copy(fc2.weight),
                      compute_copy(fc2.bias));
}

VarBlock::VarBlock(const VarConfig& config, double drop_path_rate, Generator& g)
    : attn(config, g),
      ffn(config, g),
      norm_eps_(config.norm_eps),
      drop_rate_(config.drop_rate),
      drop_path_rate_(drop_path_rate) {
  const int64_t C = config.embed_dim;
  if (config.shared_aln) {
    ada_gss = Variable(Tensor::zeros({1, 1, 6, C}), Requires::kGrad);
    register_parameter("ada_gss", ada_gss);
  }
  register_module("attn", attn);
  register_module("ffn", ffn);
  if (!config.shared_aln) {
    ada_lin = std::make_unique<SiluLinear>(C, 6 * C, g);
    register_module("ada_lin", *ada_lin);
  }
}

Modulation VarBlock::modulation(const Variable& condition, const Variable& shared) const {
  const int64_t C = attn.q_bias.dim(0);
  const Variable six = ada_lin ? (*ada_lin)(condition) : shared + compute_copy(ada_gss);
  const std::vector<Variable> v = vectors(six, 6, C);
  // Stochastic depth drops a sample's branch through its gate, which is L times smaller than the branch.
  return {.gamma1 = drop_path(v[0], drop_path_rate_, training()),
          .gamma2 = drop_path(v[1], drop_path_rate_, training()),
          .scale1 = v[2],
          .scale2 = v[3],
          .shift1 = v[4],
          .shift2 = v[5]};
}

template <class Attend>
Variable VarBlock::run(const Variable& x, const Modulation& m, const Attend& attend) const {
  const auto drop = [&](const Variable& y) { return dropout(y, drop_rate_, training()); };
  const Variable attended = drop(attend(layer_norm_modulate(x, m.scale1, m.shift1, norm_eps_)));
  const Variable middle = gated_residual(x, attended, m.gamma1);
  const Variable hidden = drop(ffn.forward(layer_norm_modulate(middle, m.scale2, m.shift2, norm_eps_)));
  return gated_residual(middle, hidden, m.gamma2);
}

Variable VarBlock::forward(const Variable& x, const Modulation& m, const Visibility& visibility) const {
  return run(x, m, [&](const Variable& h) { return attn.forward(h, visibility); });
}

Variable VarBlock::forward_cached(const Variable& x, const Modulation& m, KeyValueCache& cache, size_t index) const {
  return run(x, m, [&](const Variable& h) { return attn.forward_cached(h, cache, index); });
}

// --- The model ------------------------------------------------------------------------------------------------------

VarTransformer::VarTransformer(const VarConfig& config, Generator& generator)
    : VarTransformer((config.validate(), config), generator, Generator(0)) {}

// The layers' own start is overwritten by initialise(): it is drawn from `scratch`, so that `generator` moves by what
// counts only.
VarTransformer::VarTransformer(const VarConfig& config, Generator& generator, Generator scratch)
    : word_embed(config.Cvae, config.embed_dim, Bias::kYes, scratch),
      class_emb(config.num_classes + 1, config.embed_dim, scratch),
      pos_start(Tensor::empty({1, Pyramid(config.patch_nums).tokens(0), config.embed_dim}), Requires::kGrad),
      head_ada_lin(config.embed_dim, 2 * config.embed_dim, scratch),
      head(config.embed_dim, config.vocab_size, Bias::kYes, scratch),
      config_(config),
      pyramid_(config.patch_nums) {
  const int64_t C = config.embed_dim, L = pyramid_.length();
  Generator for_table = own_stream(generator, streams::kPositionOffset);
  trunc_normal_(pos_start, std::sqrt(1.0 / static_cast<double>(3 * C)), generator);
  positions_ = make_encoding(config, for_table);
  register_parameter("pos_start", pos_start);
  register_members(*positions_);

  std::vector<int64_t> levels;
  for (int64_t t = 0; t < L; ++t) { levels.push_back(pyramid_.scale_of(t)); }
  level_of_token_ = Tensor::from(levels, {1, L});
  register_buffer("lvl_1L", level_of_token_);

  register_module("word_embed", word_embed);
  register_module("class_emb", class_emb);
  if (config.positions.level_embedding) {
    lvl_embed = std::make_unique<Embedding>(pyramid_.scales(), C, scratch);
    register_module("lvl_embed", *lvl_embed);
  }
  if (config.shared_aln) {
    shared_ada_lin = std::make_unique<SiluLinear>(C, 6 * C, scratch);
    register_module("shared_ada_lin", *shared_ada_lin);
  }
  for (int64_t i = 0; i < config.depth; ++i) {
    const double share = config.depth == 1 ? 0 : static_cast<double>(i) / static_cast<double>(config.depth - 1);
    blocks.push_back(std::make_unique<VarBlock>(config, share * config.last_drop_path(), scratch));
    register_module(cat("blocks.", i), *blocks.back());
  }
  register_module("head_nm.ada_lin", head_ada_lin);
  register_module("head", head);
  initialise(generator);
}

// Trunc-normal with std sqrt(1/(3C)) for every matrix, zero biases; then the head is nearly silent, the residual
// branches are divided by sqrt(2 depth), and adaLN starts near the identity with nearly closed gates.
void VarTransformer::initialise(Generator& g) {
  const double std = std::sqrt(1.0 / static_cast<double>(3 * config_.embed_dim));
  const int64_t C = config_.embed_dim;
  Generator for_levels = own_stream(g, streams::kLevelOffset);
  const auto start = [&](Linear& layer, double factor) {
    trunc_normal_(layer.weight, std, g);
    if (factor != 1) { scale_(layer.weight.value(), factor); }
    if (layer.bias.defined()) { zeros_(layer.bias); }
  };
  const auto split = [&](Tensor& rows) {  // (6C, C) or (6, C): gammas first
    const int64_t gates = rows.dim(0) / 3;
    Tensor gamma = rows.slice(0, 0, gates), others = rows.slice(0, gates, rows.dim(0));
    scale_(gamma, config_.adaln_gamma_init);
    scale_(others, config_.adaln_init);
  };
  start(word_embed, 1);
  trunc_normal_(class_emb.weight, std, g);
  if (lvl_embed) { trunc_normal_(lvl_embed->weight, std, for_levels); }
  if (shared_ada_lin) { start(shared_ada_lin->linear, 1); }
  const double residual = 1 / std::sqrt(2.0 * static_cast<double>(config_.depth));
  for (auto& block : blocks) {
    start(block->attn.mat_qkv, 1);
    start(block->attn.proj, residual);
    start(block->ffn.fc1, 1);
    start(block->ffn.fc2, residual);
    if (block->ada_lin) {
      start(block->ada_lin->linear, 1);
      split(block->ada_lin->linear.weight.value());
    } else {
      normal_(block->ada_gss, 1 / std::sqrt(static_cast<double>(C)), g);
      Tensor rows = block->ada_gss.value().view({6, C});
      split(rows);
    }
  }
  start(head_ada_lin.linear, config_.adaln_init);
  start(head, 0.02);
}

std::vector<std::string> VarTransformer::no_decay_names() const {
  std::vector<std::string> names = {"pos_start", "lvl_embed", "ada_gss", "scale_mul"};
  for (const auto& [name, parameter] : positions_->named_parameters()) { names.push_back(name); }
  return names;
}

NamedParameters VarTransformer::compute_in_bf16() const {
  const State of_positions = positions_->state();
  NamedParameters matrices;
  for (const auto& [name, parameter] : named_parameters()) {
    const bool inside = name.starts_with("blocks.") || name.starts_with("head") || name.starts_with("shared_ada_lin");
    const bool stays_f32 = name.ends_with("scale_mul_1H11") || name == "head.bias" || of_positions.contains(name);
    if (inside && !stays_f32) { matrices.emplace_back(name, parameter); }
  }
  return matrices;
}

std::vector<TableSummary> VarTransformer::table_summary() const {
  return terrace::table_summary(*positions_, pos_start.value(), lvl_embed ? lvl_embed->weight.value() : Tensor());
}

void VarTransformer::observe_position_gradient(std::function<void(const Tensor&)> observer) {
  position_observer_ = std::move(observer);
}

Tensor VarTransformer::drop_labels(const Tensor& labels) const {
  if (!training() || config_.cond_drop_rate == 0) { return labels; }
  return drop_indices(labels.to(device()), config_.cond_drop_rate, config_.num_classes);
}

Conditions VarTransformer::conditions(const Tensor& labels) const {
  check_dtype(labels, DType::kI64, "VAR", "labels");
  check_ndim(labels, 1, "VAR", "labels");
  const int64_t C = config_.embed_dim;
  Conditions c;
  c.embedding = class_emb(labels.to(device()));
  if (shared_ada_lin) { c.shared = reshape((*shared_ada_lin)(c.embedding), {-1, 1, 6, C}); }
  for (const auto& block : blocks) { c.blocks.push_back(block->modulation(c.embedding, c.shared)); }
  const std::vector<Variable> v = vectors(head_ada_lin(c.embedding), 2, C);
  c.head_scale = v[0];
  c.head_shift = v[1];
  return c;
}

Variable VarTransformer::position_terms(int64_t begin, int64_t end) const {
  Variable terms = positions_->table();
  if (terms.defined()) { terms = slice(terms, 1, begin, end); }
  if (lvl_embed) {
    const Variable level = (*lvl_embed)(level_of_token_.slice(1, begin, end));
    terms = terms.defined() ? terms + level : level;
  }
  if (!position_observer_ || !grad_enabled()) { return terms; }
  // The sum enters the sequence by itself, so its gradient is that of any table in it, learned, fixed or absent.
  if (!terms.defined()) { terms = Variable(Tensor::zeros({1, end - begin, config_.embed_dim}, DType::kF32, device())); }
  if (!terms.requires_grad()) { terms = Variable(terms.value(), Requires::kGrad); }
  terms = add_scalar(terms, 0);
  terms.register_hook([observer = position_observer_](const Tensor& gradient) {
    observer(gradient);
    return gradient;
  });
  return terms;
}

Variable VarTransformer::embed_input(const Conditions& c, const Variable& input) {
  const int64_t C = config_.embed_dim;
  Variable x = reshape(c.embedding, {-1, 1, C}) + pos_start;
  if (input.defined() && input.dim(1) > 0) { x = concat({x, word_embed(input)}, 1); }
  const Variable terms = position_terms(0, x.dim(1));
  return terms.defined() ? x + terms : x;
}

Variable VarTransformer::head_norm(const Variable& x, const Conditions& c) const {
  return layer_norm_modulate(x, c.head_scale, c.head_shift, config_.norm_eps);
}

Variable VarTransformer::logits(const Variable& x, const Conditions& c) const {
  return head.f32_output(head_norm(x, c));
}

void VarTransformer::check_input(const Tensor& labels, const Variable& input) const {
  if (!input.defined()) { return; }
  check_ndim(input.value(), 3, "VAR", "input");
  const auto& ends = pyramid_.ends();
  const int64_t first = pyramid_.tokens(0), l = input.dim(1) + first;
  if (input.dim(0) != labels.dim(0) || input.dim(2) != config_.Cvae || !std::count(ends.begin(), ends.end(), l)) {
    throw ShapeError(cat("VAR: input must be (B, l-", first, ", Cvae) with B=", labels.dim(0), ", Cvae=", config_.Cvae,
                         " and l the end of a scale, ", Shape(ends), "; got ", input.shape()));
  }
}

Variable VarTransformer::forward(const Tensor& labels, const Variable& input, Recompute recompute) {
  check_dtype(labels, DType::kI64, "VAR", "labels");
  check_ndim(labels, 1, "VAR", "labels");
  check_input(labels, input);
  const Conditions c = conditions(drop_labels(labels));
  Variable x = terrace::to(embed_input(c, input), c.head_scale.dtype());
  const auto& ends = pyramid_.ends();
  const auto last = std::find(ends.begin(), ends.end(), x.dim(1));
  const Visibility visibility{std::vector<int64_t>(ends.begin(), last + 1)};
  for (size_t i = 0; i < blocks.size(); ++i) {
    const VarBlock& block = *blocks[i];
    const Modulation& m = c.blocks[i];
    if (recompute == Recompute::kNothing) {
      x = block.forward(x, m, visibility);
    } else {
      x = checkpoint(
          [&block, visibility](const std::vector<Variable>& v) {
            return block.forward(v[0], {v[1], v[2], v[3], v[4], v[5], v[6]}, visibility);
          },
          {x, m.gamma1, m.gamma2, m.scale1, m.scale2, m.shift1, m.shift2});
    }
  }
  return logits(x, c);
}

KeyValueCache VarTransformer::make_cache(int64_t batch) const {
  AllocationName name("kv-cache");
  KeyValueCache cache;
  const Shape shape = {batch, pyramid_.length(), config_.num_heads, config_.embed_dim / config_.num_heads};
  for (const auto& block : blocks) {
    const DType dtype = block->attn.mat_qkv.weight.dtype();
    cache.keys.push_back(Tensor::empty(shape, dtype, device()));
    cache.values.push_back(Tensor::empty(shape, dtype, device()));
  }
  return cache;
}

Tensor VarTransformer::next_scale(int64_t scale, const Tensor& input, const Conditions& c, KeyValueCache& cache) {
  const NoGrad no_grad;
  const int64_t B = c.embedding.dim(0), begin = pyramid_.begin(scale), end = pyramid_.end(scale);
  if (cache.length != begin) {
    throw ShapeError(
        cat("VAR: scale ", scale, " begins at token ", begin, ", but ", cache.length, " are in the cache"));
  }
  Variable x;
  if (scale == 0) {
    x = reshape(c.embedding, {-1, 1, config_.embed_dim}) + pos_start;
  } else {
    check_shape(input, {B, end - begin, config_.Cvae}, "VAR", "input");
    x = word_embed(Variable(input.to(device())));
  }
  const Variable terms = position_terms(begin, end);
  if (terms.defined()) { x = x + terms; }
  for (size_t i = 0; i < blocks.size(); ++i) { x = blocks[i]->forward_cached(x, c.blocks[i], cache, i); }
  cache.length = end;
  return logits(x, c).value();
}

}  // namespace terrace
