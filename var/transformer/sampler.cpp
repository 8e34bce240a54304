#include "var/transformer/sampler.h"

#include <algorithm>
#include <cmath>

#include "autograd/functions.h"
#include "nn/mode_scope.h"
#include "tensor/device/allocator.h"
#include "tensor/device/device_graph.h"
#include "tensor/device/parallel.h"
#include "tensor/kernels/sampling.h"
#include "tensor/kernels/where.h"
#include "tensor/matmul.h"
#include "tensor/pointwise.h"
#include "tensor/random_streams.h"

namespace terrace {
namespace {

/// (1+t) of the first half minus t of the second, which is the same images without a class.
Tensor guide(const Tensor& logits, double t) {
  const int64_t B = logits.dim(0) / 2;
  Tensor guided = scale(logits.slice(0, 0, B), 1 + t);
  add_(guided, logits.slice(0, B, 2 * B), -t);
  return guided;
}

/// How far scale `s` is on the way from the first to the last: 0 to 1.
double scale_share(int64_t s, int64_t scales) {
  return scales == 1 ? 0 : static_cast<double>(s) / static_cast<double>(scales - 1);
}

/// (B, n): `given` where `keep` is true, else `drawn`.
Tensor kept_or_drawn(const Tensor& keep_in, const Tensor& given_in, const Tensor& drawn) {
  const Tensor keep = keep_in.contiguous(), given = given_in.contiguous();
  const Tensor indices = Tensor::empty(drawn.shape(), DType::kI64, drawn.device());
  where_select<int64_t>(drawn.device(), drawn.numel(), static_cast<const uint8_t*>(keep.raw_data()),
                        given.data<int64_t>(), drawn.data<int64_t>(), indices.data<int64_t>());
  return indices;
}

/// Joins batches of one image each into one batch.
Sampled join_images(const std::vector<Sampled>& images) {
  const auto join = [&](const auto& field) {
    std::vector<Variable> parts;
    for (const Sampled& image : images) { parts.emplace_back(field(image)); }
    return concat(parts, 0).value();
  };
  Sampled all;
  if (images.empty()) { return all; }
  for (size_t s = 0; s < images[0].indices.size(); ++s) {
    all.indices.push_back(join([s](const Sampled& image) { return image.indices[s]; }));
  }
  for (size_t s = 0; s < images[0].f_hats.size(); ++s) {
    all.f_hats.push_back(join([s](const Sampled& image) { return image.f_hats[s]; }));
  }
  all.f_hat = join([](const Sampled& image) { return image.f_hat; });
  return all;
}

void check_request(const VarTransformer& model, const Tensor& labels, const std::vector<uint64_t>& seeds,
                   const GivenTokens* given) {
  check_dtype(labels, DType::kI64, "sample", "labels");
  check_ndim(labels, 1, "sample", "labels");
  if (static_cast<int64_t>(seeds.size()) != labels.dim(0)) {
    throw ShapeError(
        cat("sample: needs one seed per label, got ", seeds.size(), " seeds for ", labels.dim(0), " labels"));
  }
  if (given != nullptr) {
    const Shape expected = {labels.dim(0), model.config().length()};
    check_dtype(given->indices, DType::kI64, "sample", "given indices");
    check_shape(given->indices, expected, "sample", "given indices");
    check_dtype(given->keep, DType::kBool, "sample", "given keep");
    check_shape(given->keep, expected, "sample", "given keep");
  }
  const Tensor host_labels = labels.to(kCpu).contiguous();
  for (int64_t i = 0; i < labels.dim(0); ++i) {
    const int64_t label = host_labels.data<int64_t>()[i];
    if (label < 0 || label > model.config().num_classes) {
      throw IndexError(cat("sample: label ", i, " is ", label, "; the model has classes 0 to ",
                           model.config().num_classes - 1, " and ", model.config().num_classes, " for none"));
    }
  }
}

void check_options(const VarTransformer& model, const Quantizer& quantizer, const SampleOptions& options) {
  check_one_device("sample",
                   {{"the transformer", model.pos_start.value()}, {"the tokenizer", quantizer.codebook().value()}});
  if (!(options.cfg >= 0)) { throw ConfigError(cat("sample: cfg must be 0 or positive, got ", options.cfg)); }
  if (options.top_k < 0) { throw ConfigError(cat("sample: top_k must be 0 or positive, got ", options.top_k)); }
  if (!(options.top_p >= 0 && options.top_p <= 1)) {
    throw ConfigError(cat("sample: top_p must be in [0, 1], got ", options.top_p));
  }
  const VarConfig& config = model.config();
  const QuantizerConfig& codes = quantizer.config();
  if (codes.vocab_size != config.vocab_size || codes.channels != config.Cvae ||
      model.pyramid().patch_nums() != quantizer.pyramid().patch_nums()) {
    throw ConfigError(cat("sample: the transformer was made for ", config.vocab_size, " codes of ", config.Cvae,
                          " channels and the pyramid ", Shape(config.patch_nums), ", the tokenizer has ",
                          codes.vocab_size, " of ", codes.channels, " and ", Shape(codes.patch_nums)));
  }
}

/// (B, n, C) rows of a scale as a map (B, C, p, p).
Tensor as_map(const Tensor& rows, int64_t p) {
  return rows.transpose(1, 2).contiguous().view({rows.dim(0), rows.dim(2), p, p});
}

}  // namespace

void filter_logits_(Tensor& logits, int64_t top_k, double top_p) {
  check_dtype(logits, DType::kF32, "filter_logits_", "logits");
  const int64_t V = logits.shape().back();
  if (V == 0) { throw ShapeError(cat("filter_logits_: no logits in ", logits.shape())); }
  const int64_t rows = logits.numel() / V;
  filter_logits(logits.device(), logits.data<float>(), rows, V, top_k, top_p);
  logits.bump_version();
}

// --- A batch ---------------------------------------------------------------------------------------------------------

/// The memory of batches of one size on the models' device, and the recorded scales.
struct Sampler::Batch {
  Batch(const VarTransformer& model, const Quantizer& quantizer, int64_t images, bool guided, bool with_given);
  bool fits(int64_t images, bool with_given) const { return images == B && with_given == given_keep.defined(); }

  MemoryArena arena;  // of the tensors that live no longer than a scale
  int64_t B;
  Tensor labels;                     // (B) i64, with guidance (2B): then those without a class
  Tensor seeds;                      // (B) i64
  Tensor given_indices, given_keep;  // (B, L), where some tokens are given
  Conditions conditions;             // made at scale 0
  KeyValueCache cache;
  Tensor f_hat;                 // (B, Cvae, P, P)
  std::vector<Tensor> indices;  // (B, n) of the scales that are done
  Tensor logits, next;          // of the last one: ScaleView
  Tensor input;                 // of the next
  bool ran = false;             // all scales once; recording needs the memory that a first run has allocated
  bool launched_only = false;   // a scale could not be recorded

  /// The recorded kernels of a scale, and the tensors that they leave for the scales that follow.
  struct Recorded {
    explicit Recorded(MemoryArena& arena) : graph(arena) {}
    DeviceGraph graph;
    Tensor indices, input;
    Conditions conditions;
  };
  std::vector<std::unique_ptr<Recorded>> scales;
};

Sampler::Batch::Batch(const VarTransformer& model, const Quantizer& quantizer, int64_t images, bool guided,
                      bool with_given)
    : arena(model.device()), B(images) {
  const Device device = model.device();
  const VarConfig& config = model.config();
  const int64_t rows = guided ? 2 * B : B, P = quantizer.pyramid().largest(), L = config.length();
  labels = Tensor::full({rows}, static_cast<double>(config.num_classes), DType::kI64).to(device);
  seeds = Tensor::zeros({B}, DType::kI64, device);
  if (with_given) {
    given_indices = Tensor::zeros({B, L}, DType::kI64, device);
    given_keep = Tensor::zeros({B, L}, DType::kBool, device);
  }
  cache = model.make_cache(rows);
  f_hat = Tensor::empty({B, config.Cvae, P, P}, DType::kF32, device);
  indices.resize(static_cast<size_t>(model.pyramid().scales()));
}

Sampler::Sampler(VarTransformer& model, Quantizer& quantizer, const SampleOptions& options, Graphs graphs)
    : model_(model), quantizer_(quantizer), options_(options), graphs_(graphs) {
  check_options(model, quantizer, options);
}

Sampler::~Sampler() = default;

/// The tokens of a scale: those drawn from `logits`, which are filtered and used up, and those given.
Tensor Sampler::choose(int64_t s, Tensor& logits) const {
  const Batch& b = *batch_;
  const int64_t n = logits.dim(1), V = logits.dim(2), begin = model_.pyramid().begin(s);
  Tensor indices;
  if (options_.top_k == 1) {
    indices = argmax(logits, -1);
  } else {
    filter_logits_(logits, options_.top_k, options_.top_p);
    indices = Tensor::empty({b.B, n}, DType::kI64, logits.device());
    draw_classes(logits.device(), logits.data<float>(), b.B * n, V, n, b.seeds.data<int64_t>(), streams::kSampleChoice,
                 static_cast<uint64_t>(begin), indices.data<int64_t>());
  }
  if (!b.given_keep.defined()) { return indices; }
  return kept_or_drawn(b.given_keep.slice(1, begin, begin + n), b.given_indices.slice(1, begin, begin + n), indices);
}

/// The map (B, Cvae, p, p) that a scale adds: its tokens' codes, or the smooth mix where tokens are not given.
Tensor Sampler::map_of(int64_t s, const Tensor& indices, Tensor& logits) const {
  const Batch& b = *batch_;
  const Pyramid& pyramid = model_.pyramid();
  Tensor codes = quantizer_.embed_scale(indices, s);
  if (options_.smoothing == Smoothing::kOff) { return codes; }
  const int64_t n = logits.dim(1), V = logits.dim(2), begin = pyramid.begin(s), p = pyramid.patch(s);
  const double share = scale_share(s, pyramid.scales());
  if (options_.top_k == 1) { filter_logits_(logits, 1, 0); }
  gumbel_softmax(logits.device(), logits.data<float>(), b.B * n, V,
                 {1 + share, std::max(0.27 * (1 - 0.95 * share), 0.005), b.seeds.data<int64_t>(), n,
                  streams::kSampleNoise.first, static_cast<uint64_t>(begin)});
  const Tensor mix = as_map(matmul(logits, quantizer_.codebook().value()), p);
  if (!b.given_keep.defined()) { return mix; }
  const Tensor kept = b.given_keep.slice(1, begin, begin + n).contiguous().view({b.B, 1, p, p});
  return where(kept, Variable(codes), Variable(mix)).value();
}

/// Launches a scale: from the batch's labels, seeds and f_hat to its indices, f_hat and the next input.
void Sampler::launch_scale(int64_t s, bool keep_logits) {
  Batch& b = *batch_;
  const Pyramid& pyramid = model_.pyramid();
  const bool guided = options_.cfg > 0;
  const int64_t S = pyramid.scales(), C = model_.config().Cvae;
  b.cache.length = pyramid.begin(s);  // replaying a scale does not advance it
  if (s == 0) {
    b.conditions = model_.conditions(b.labels);
    b.f_hat.zero_();
  }
  Tensor logits = model_.next_scale(s, b.input, b.conditions, b.cache);
  if (guided) { logits = guide(logits, options_.cfg * scale_share(s, S)); }
  b.logits = keep_logits ? logits.to(kCpu).clone() : Tensor();
  b.indices[static_cast<size_t>(s)] = choose(s, logits);
  b.next = quantizer_.next_input(s, b.f_hat, map_of(s, b.indices[static_cast<size_t>(s)], logits));
  b.input = Tensor();
  if (s + 1 == S) { return; }
  b.input = b.next.view({b.B, C, pyramid.tokens(s + 1)}).transpose(1, 2).contiguous();
  if (guided) { b.input = b.input.unsqueeze(0).expand({2, b.B, b.input.dim(1), C}).reshape({2 * b.B, -1, C}); }
}

/// Replays a scale, which is recorded first where it was not yet; false where it must be launched instead.
bool Sampler::replay_scale(int64_t s) {
  Batch& b = *batch_;
  if (graphs_ == Graphs::kNo || model_.device().is_cpu() || !b.ran || b.launched_only) { return false; }
  const auto index = static_cast<size_t>(s);
  if (index == b.scales.size()) {
    const Tensor input = b.input;
    auto scale = std::make_unique<Batch::Recorded>(b.arena);
    if (!scale->graph.record([&] { launch_scale(s, false); })) {
      b.launched_only = true;
      b.input = input;
      not_recorded_ = scale->graph.reason();
      return false;
    }
    scale->indices = b.indices[index];
    scale->input = b.input;
    if (s == 0) { scale->conditions = b.conditions; }
    b.scales.push_back(std::move(scale));
  }
  const Batch::Recorded& scale = *b.scales[index];
  scale.graph.replay();
  b.indices[index] = scale.indices;
  b.input = scale.input;
  if (s == 0) { b.conditions = scale.conditions; }
  return true;
}

int64_t Sampler::recorded_scales() const { return batch_ == nullptr ? 0 : static_cast<int64_t>(batch_->scales.size()); }

void Sampler::begin(const Tensor& labels, const std::vector<uint64_t>& seeds, const GivenTokens* given) {
  const int64_t B = labels.dim(0);
  if (batch_ == nullptr || !batch_->fits(B, given != nullptr)) {
    batch_.reset();  // frees its memory before the next one is allocated
    batch_ = std::make_unique<Batch>(model_, quantizer_, B, options_.cfg > 0, given != nullptr);
  }
  Batch& b = *batch_;
  b.labels.slice(0, 0, B).copy_(labels);
  b.seeds.copy_(Tensor::from(std::vector<int64_t>(seeds.begin(), seeds.end()), {B}));
  b.input = Tensor();
  if (given == nullptr) { return; }
  b.given_indices.copy_(given->indices);
  b.given_keep.copy_(given->keep);
}

Sampled Sampler::operator()(const Tensor& labels, const std::vector<uint64_t>& seeds, const SampleExtras& extras) {
  check_request(model_, labels, seeds, extras.given);
  const NoGrad no_grad;
  const ModeScope mode(model_, Mode::kEval);
  begin(labels, seeds, extras.given);
  Batch& b = *batch_;
  const MemoryArena::Scope memory(b.arena);
  const int64_t S = model_.pyramid().scales();
  Sampled result;
  for (int64_t s = 0; s < S; ++s) {
    if (extras.poll) { extras.poll(s); }
    if (extras.observe || !replay_scale(s)) { launch_scale(s, static_cast<bool>(extras.observe)); }
    if (extras.f_hats == FHats::kEveryScale) { result.f_hats.push_back(b.f_hat.to(kCpu).clone()); }
    if (extras.observe) {
      extras.observe({.scale = s,
                      .logits = b.logits,
                      .indices = b.indices[static_cast<size_t>(s)].to(kCpu),
                      .f_hat = b.f_hat.to(kCpu).clone(),
                      .next_input = s + 1 < S ? b.next.to(kCpu) : Tensor()});
    }
  }
  b.ran = true;
  for (const Tensor& indices : b.indices) { result.indices.push_back(indices.to(kCpu)); }
  result.f_hat = b.f_hat.to(kCpu).clone();
  if (model_.device().is_cpu()) {
    batch_.reset();  // holds no recorded scales there, and its memory is of use elsewhere
  }
  return result;
}

Sampled sample(VarTransformer& model, Quantizer& quantizer, const Tensor& labels, const std::vector<uint64_t>& seeds,
               const SampleOptions& options, const SampleExtras& extras) {
  return Sampler(model, quantizer, options, Sampler::Graphs::kNo)(labels, seeds, extras);
}

Sampled sample_reproducibly(VarTransformer& model, Quantizer& quantizer, const Tensor& labels,
                            const std::vector<uint64_t>& seeds, const SampleOptions& options,
                            const SampleExtras& extras) {
  check_options(model, quantizer, options);
  check_request(model, labels, seeds, extras.given);
  const ModeScope mode(model, Mode::kEval);
  std::vector<Sampled> parts(seeds.size());
  each_on_one_thread(labels.dim(0), [&](int64_t i) {
    SampleExtras own{.poll = extras.poll, .f_hats = extras.f_hats};
    GivenTokens given;
    if (extras.given != nullptr) {
      given = {extras.given->indices.slice(0, i, i + 1), extras.given->keep.slice(0, i, i + 1)};
      own.given = &given;
    }
    const auto at = static_cast<size_t>(i);
    parts[at] = sample(model, quantizer, labels.slice(0, i, i + 1), {seeds[at]}, options, own);
  });
  return join_images(parts);
}

}  // namespace terrace
