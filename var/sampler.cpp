#include "var/sampler.h"

#include <algorithm>
#include <cmath>

#include "autograd/functions.h"
#include "tensor/kernels/sampling.h"
#include "tensor/matmul.h"
#include "tensor/parallel.h"
#include "tensor/pointwise.h"

namespace terrace {
namespace {

// Streams of an image's generator: one for the choices, then one per token for the noise of the smooth mix.
constexpr uint64_t kChoiceStream = 0;
constexpr uint64_t kNoiseStream = 1;

/// What happens at one scale of one batch: (B, n, V) logits, tokens from `begin` on.
struct ScaleDraw {
  Tensor logits;
  const std::vector<uint64_t>& seeds;
  const Tensor& seeds_there;  // the same, where the logits are
  int64_t begin;
  int64_t rows_per_image() const { return logits.dim(1); }
  Generator generator(int64_t image, uint64_t stream, int64_t offset) const {
    Generator g(seeds[static_cast<size_t>(image)], stream);
    g.offset = static_cast<uint64_t>(offset);
    return g;
  }
};

/// The images' seeds as a tensor, for kernels of a device.
Tensor seeds_on(Device device, const std::vector<uint64_t>& seeds) {
  return Tensor::from(std::vector<int64_t>(seeds.begin(), seeds.end()), {static_cast<int64_t>(seeds.size())})
      .to(device);
}

Tensor draw_indices(const ScaleDraw& draw) {
  const Tensor& logits = draw.logits;
  const int64_t B = logits.dim(0), n = logits.dim(1), V = logits.dim(2);
  Tensor indices = Tensor::empty({B, n}, DType::kI64, logits.device());
  draw_classes(logits.device(), logits.data<float>(), B * n, V, n, draw.seeds_there.data<int64_t>(), kChoiceStream,
               static_cast<uint64_t>(draw.begin), indices.data<int64_t>());
  return indices;
}

/// softmax((logits * sharpness + Gumbel noise) / tau) per row, in place.
void gumbel_softmax_(const ScaleDraw& draw, double sharpness, double tau) {
  const int64_t B = draw.logits.dim(0), n = draw.logits.dim(1), V = draw.logits.dim(2);
  float* logits = draw.logits.data<float>();
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < B * n; ++r) {
    float* row = logits + r * V;
    const uint64_t stream = kNoiseStream + static_cast<uint64_t>(draw.begin + r % n);
    Generator g = draw.generator(r / n, stream, 0);
    for (int64_t v = 0; v < V; ++v) {
      const double u = std::max(g.next_uniform(), 0x1p-25);
      row[v] = static_cast<float>((row[v] * sharpness - std::log(-std::log(u))) / tau);
    }
    const float largest = *std::max_element(row, row + V);
    double total = 0;
    for (int64_t v = 0; v < V; ++v) total += row[v] = std::exp(row[v] - largest);
    for (int64_t v = 0; v < V; ++v) row[v] = static_cast<float>(row[v] / total);
  }
}

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
Tensor kept_or_drawn(const Tensor& keep, const Tensor& given, const Tensor& drawn) {
  const Tensor kept = keep.contiguous(), own = given.contiguous();
  Tensor indices = drawn.clone();
  for (int64_t i = 0; i < indices.numel(); ++i) {
    if (kept.data<bool>()[i]) indices.data<int64_t>()[i] = own.data<int64_t>()[i];
  }
  return indices;
}

/// Batches of one image each as one batch.
Sampled join_images(const std::vector<Sampled>& images) {
  const auto join = [&](const auto& field) {
    std::vector<Variable> parts;
    for (const Sampled& image : images) parts.emplace_back(field(image));
    return concat(parts, 0).value();
  };
  Sampled all;
  if (images.empty()) return all;
  for (size_t s = 0; s < images[0].indices.size(); ++s) {
    all.indices.push_back(join([s](const Sampled& image) { return image.indices[s]; }));
  }
  for (size_t s = 0; s < images[0].f_hats.size(); ++s) {
    all.f_hats.push_back(join([s](const Sampled& image) { return image.f_hats[s]; }));
  }
  all.f_hat = join([](const Sampled& image) { return image.f_hat; });
  return all;
}

class EvalScope {
 public:
  explicit EvalScope(Module& module) : module_(module), was_training_(module.training()) {
    if (was_training_) module.eval();  // one that is in eval mode already may be shared by threads
  }
  ~EvalScope() {
    if (was_training_) module_.train();
  }
  EvalScope(const EvalScope&) = delete;
  EvalScope& operator=(const EvalScope&) = delete;

 private:
  Module& module_;
  bool was_training_;
};

void check_request(const VarTransformer& model, const Quantizer& quantizer, const Tensor& labels,
                   const std::vector<uint64_t>& seeds, const SampleOptions& options) {
  check_dtype(labels, DType::kI64, "sample", "labels");
  check_ndim(labels, 1, "sample", "labels");
  if (static_cast<int64_t>(seeds.size()) != labels.dim(0)) {
    throw ShapeError(
        cat("sample: needs one seed per label, got ", seeds.size(), " seeds for ", labels.dim(0), " labels"));
  }
  if (!(options.cfg >= 0)) throw ConfigError(cat("sample: cfg must be 0 or positive, got ", options.cfg));
  if (options.top_k < 0) throw ConfigError(cat("sample: top_k must be 0 or positive, got ", options.top_k));
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

void check_given(const GivenTokens& given, const Quantizer& quantizer, int64_t B) {
  const Shape expected = {B, quantizer.pyramid().length()};
  check_dtype(given.indices, DType::kI64, "sample", "given indices");
  check_shape(given.indices, expected, "sample", "given indices");
  check_dtype(given.keep, DType::kBool, "sample", "given keep");
  check_shape(given.keep, expected, "sample", "given keep");
}

/// (B, n, C) rows of a scale as a map (B, C, p, p).
Tensor as_map(const Tensor& rows, int64_t p) {
  return rows.transpose(1, 2).contiguous().view({rows.dim(0), rows.dim(2), p, p});
}

/// What was drawn at a scale: the indices, and the map that they, or the smooth mix, put there.
struct Chosen {
  Tensor indices;  // (B, n)
  Tensor h;        // (B, Cvae, p, p)
};

/// Draws scale `s`; `logits` are filtered and used up.
Chosen choose_scale(Tensor& logits, const ScaleDraw& draw, const Quantizer& quantizer, int64_t s,
                    const SampleOptions& options, const GivenTokens* given) {
  const Pyramid& pyramid = quantizer.pyramid();
  Chosen chosen;
  if (options.top_k == 1) {
    chosen.indices = argmax(logits, -1);
  } else {
    filter_logits_(logits, options.top_k, options.top_p);
    chosen.indices = draw_indices(draw);
  }
  Tensor keep;
  if (given != nullptr) {
    keep = given->keep.slice(1, pyramid.begin(s), pyramid.end(s));
    const Tensor own = given->indices.slice(1, pyramid.begin(s), pyramid.end(s));
    chosen.indices = kept_or_drawn(keep, own, chosen.indices);
  }
  const Tensor codes = quantizer.embed_scale(chosen.indices, s);
  if (options.smoothing == Smoothing::kOff) {
    chosen.h = codes;
    return chosen;
  }
  const double share = scale_share(s, pyramid.scales());
  if (options.top_k == 1) filter_logits_(logits, 1, 0);
  gumbel_softmax_(draw, 1 + share, std::max(0.27 * (1 - 0.95 * share), 0.005));
  chosen.h = as_map(matmul(logits.to(codes.device()), quantizer.codebook().value()), pyramid.patch(s));
  if (given != nullptr) {
    const Tensor kept_cells = keep.contiguous().view({keep.dim(0), 1, pyramid.patch(s), pyramid.patch(s)});
    chosen.h = where(kept_cells.to(codes.device()), Variable(codes), Variable(chosen.h)).value();
  }
  return chosen;
}

}  // namespace

void filter_logits_(Tensor& logits, int64_t top_k, double top_p) {
  check_dtype(logits, DType::kF32, "filter_logits_", "logits");
  const int64_t V = logits.shape().back();
  if (V == 0) throw ShapeError(cat("filter_logits_: no logits in ", logits.shape()));
  const int64_t rows = logits.numel() / V;
  filter_logits(logits.device(), logits.data<float>(), rows, V, top_k, top_p);
  logits.bump_version();
}

Sampled sample(VarTransformer& model, Quantizer& quantizer, const Tensor& labels, const std::vector<uint64_t>& seeds,
               const SampleOptions& options, const SampleExtras& extras) {
  check_request(model, quantizer, labels, seeds, options);
  if (extras.given != nullptr) check_given(*extras.given, quantizer, labels.dim(0));
  const NoGrad no_grad;
  const EvalScope eval(model);
  const Pyramid& pyramid = model.pyramid();
  const VarConfig& config = model.config();
  const Device device = quantizer.codebook().device();
  const int64_t B = labels.dim(0), S = pyramid.scales(), P = pyramid.largest();
  const bool guided = options.cfg > 0;

  Tensor all_labels = Tensor::full({guided ? 2 * B : B}, static_cast<double>(config.num_classes), DType::kI64);
  all_labels.slice(0, 0, B).copy_(labels);
  const Conditions conditions = model.conditions(all_labels);
  KeyValueCache cache = model.make_cache(all_labels.dim(0));

  const bool by_host_loops = options.smoothing == Smoothing::kOn || extras.given != nullptr;
  const Device draws_on = by_host_loops ? kCpu : model.device();
  const Tensor seeds_there = seeds_on(draws_on, seeds);

  Sampled result;
  result.f_hat = Tensor::zeros({B, config.Cvae, P, P}, DType::kF32, device);
  Tensor input;
  for (int64_t s = 0; s < S; ++s) {
    if (extras.poll) extras.poll();
    Tensor logits = model.next_scale(s, input, conditions, cache);
    if (guided) logits = guide(logits, options.cfg * scale_share(s, S));
    logits = logits.to(draws_on);
    ScaleView view{.scale = s,
                   .logits = extras.observe ? logits.to(kCpu).clone() : Tensor(),
                   .indices = {},
                   .f_hat = {},
                   .next_input = {}};

    const ScaleDraw draw{logits, seeds, seeds_there, pyramid.begin(s)};
    const Chosen chosen = choose_scale(logits, draw, quantizer, s, options, extras.given);
    const Tensor next = quantizer.next_input(s, result.f_hat, chosen.h);
    result.indices.push_back(chosen.indices.to(kCpu));
    if (extras.f_hats == FHats::kEveryScale) result.f_hats.push_back(result.f_hat.to(kCpu).clone());
    if (s + 1 < S) {
      input = next.view({B, config.Cvae, pyramid.tokens(s + 1)}).transpose(1, 2).contiguous();
      if (guided)
        input = input.unsqueeze(0).expand({2, B, input.dim(1), config.Cvae}).reshape({2 * B, -1, config.Cvae});
    }
    if (extras.observe) {
      view.indices = result.indices.back();
      view.f_hat = result.f_hat.to(kCpu).clone();
      if (s + 1 < S) view.next_input = next.to(kCpu);
      extras.observe(view);
    }
  }
  result.f_hat = result.f_hat.to(kCpu);
  return result;
}

Sampled sample_reproducibly(VarTransformer& model, Quantizer& quantizer, const Tensor& labels,
                            const std::vector<uint64_t>& seeds, const SampleOptions& options,
                            const SampleExtras& extras) {
  check_request(model, quantizer, labels, seeds, options);
  if (extras.given != nullptr) check_given(*extras.given, quantizer, labels.dim(0));
  const EvalScope eval(model);
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
