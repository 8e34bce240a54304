#include "var/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "autograd/functions.h"
#include "tensor/matmul.h"
#include "tensor/pointwise.h"

namespace terrace {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
// Streams of an image's generator: one for the choices, then one per token for the noise of the smooth mix.
constexpr uint64_t kChoiceStream = 0;
constexpr uint64_t kNoiseStream = 1;

void keep_largest(float* row, int64_t V, int64_t k, std::vector<float>& scratch) {
  scratch.assign(row, row + V);
  std::nth_element(scratch.begin(), scratch.begin() + (k - 1), scratch.end(), std::greater<>());
  const float smallest_kept = scratch[static_cast<size_t>(k - 1)];
  for (int64_t v = 0; v < V; ++v) {
    if (row[v] < smallest_kept) row[v] = kMinusInfinity;
  }
}

void keep_nucleus(float* row, int64_t V, double p, std::vector<int64_t>& order, std::vector<float>& weights) {
  order.resize(static_cast<size_t>(V));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [row](int64_t a, int64_t b) { return row[a] < row[b]; });
  const float largest = row[order.back()];
  weights.resize(static_cast<size_t>(V));
  double total = 0;
  for (int64_t i = 0; i < V; ++i) {
    const auto at = static_cast<size_t>(i);
    weights[at] = std::exp(row[order[at]] - largest);
    total += weights[at];
  }
  double cumulative = 0;
  for (int64_t i = 0; i + 1 < V; ++i) {
    cumulative += weights[static_cast<size_t>(i)];
    if (cumulative / total > 1 - p) break;
    row[order[static_cast<size_t>(i)]] = kMinusInfinity;
  }
}

/// Position of the draw `u` in [0, 1) in the distribution softmax(row).
int64_t choose(const float* row, int64_t V, double u) {
  const float largest = *std::max_element(row, row + V);
  double total = 0;
  for (int64_t v = 0; v < V; ++v) total += std::exp(row[v] - largest);
  const double target = u * total;
  double cumulative = 0;
  int64_t last = 0;
  for (int64_t v = 0; v < V; ++v) {
    const double weight = std::exp(row[v] - largest);
    if (weight == 0) continue;
    cumulative += weight;
    last = v;
    if (cumulative > target) return v;
  }
  return last;  // the sum's last bit was lost to rounding
}

/// What happens at one scale of one batch: (B, n, V) logits, tokens from `begin` on.
struct ScaleDraw {
  Tensor logits;
  const std::vector<uint64_t>& seeds;
  int64_t begin;
  int64_t rows_per_image() const { return logits.dim(1); }
  Generator generator(int64_t image, uint64_t stream, int64_t offset) const {
    Generator g(seeds[static_cast<size_t>(image)], stream);
    g.offset = static_cast<uint64_t>(offset);
    return g;
  }
};

Tensor draw_indices(const ScaleDraw& draw) {
  const int64_t B = draw.logits.dim(0), n = draw.logits.dim(1), V = draw.logits.dim(2);
  Tensor indices = Tensor::empty({B, n}, DType::kI64);
  const float* logits = draw.logits.data<float>();
  int64_t* index = indices.data<int64_t>();
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < B * n; ++r) {
    const double u = draw.generator(r / n, kChoiceStream, draw.begin + r % n).next_uniform();
    index[r] = choose(logits + r * V, V, u);
  }
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

class EvalScope {
 public:
  explicit EvalScope(Module& module) : module_(module), was_training_(module.training()) { module.eval(); }
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

/// (B, n, C) rows of a scale as a map (B, C, p, p).
Tensor as_map(const Tensor& rows, int64_t p) {
  return rows.transpose(1, 2).contiguous().view({rows.dim(0), rows.dim(2), p, p});
}

}  // namespace

void filter_logits_(Tensor& logits, int64_t top_k, double top_p) {
  check_dtype(logits, DType::kF32, "filter_logits_", "logits");
  const int64_t V = logits.shape().back();
  if (V == 0) throw ShapeError(cat("filter_logits_: no logits in ", logits.shape()));
  const int64_t rows = logits.numel() / V;
  float* data = logits.data<float>();
#pragma omp parallel
  {
    std::vector<float> scratch;
    std::vector<int64_t> order;
#pragma omp for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      if (top_k > 0 && top_k < V) keep_largest(data + r * V, V, top_k, scratch);
      if (top_p > 0) keep_nucleus(data + r * V, V, top_p, order, scratch);
    }
  }
  logits.bump_version();
}

Sampled sample(VarTransformer& model, Quantizer& quantizer, const Tensor& labels, const std::vector<uint64_t>& seeds,
               const SampleOptions& options, const std::function<void(const ScaleView&)>& observe) {
  check_request(model, quantizer, labels, seeds, options);
  const NoGrad no_grad;
  const EvalScope eval(model);
  const Pyramid& pyramid = model.pyramid();
  const VarConfig& config = model.config();
  const int64_t B = labels.dim(0), S = pyramid.scales(), P = pyramid.largest();
  const bool guided = options.cfg > 0;

  Tensor all_labels = Tensor::full({guided ? 2 * B : B}, static_cast<double>(config.num_classes), DType::kI64);
  all_labels.slice(0, 0, B).copy_(labels);
  const Conditions conditions = model.conditions(all_labels);
  KeyValueCache cache = model.make_cache(all_labels.dim(0));

  Sampled result;
  result.f_hat = Tensor::zeros({B, config.Cvae, P, P});
  Tensor input;
  for (int64_t s = 0; s < S; ++s) {
    const double share = S == 1 ? 0 : static_cast<double>(s) / static_cast<double>(S - 1);
    Tensor logits = model.next_scale(s, input, conditions, cache);
    if (guided) logits = guide(logits, options.cfg * share);
    ScaleView view{
        .scale = s, .logits = observe ? logits.clone() : Tensor(), .indices = {}, .f_hat = {}, .next_input = {}};

    const ScaleDraw draw{logits, seeds, pyramid.begin(s)};
    Tensor indices, h;
    if (options.top_k == 1) {
      indices = argmax(logits, -1);
    } else {
      filter_logits_(logits, options.top_k, options.top_p);
      indices = draw_indices(draw);
    }
    if (options.smoothing == Smoothing::kOff) {
      h = quantizer.embed_scale(indices, s);
    } else {
      if (options.top_k == 1) filter_logits_(logits, 1, 0);
      gumbel_softmax_(draw, 1 + share, std::max(0.27 * (1 - 0.95 * share), 0.005));
      h = as_map(matmul(logits, quantizer.codebook().value()), pyramid.patch(s));
    }
    const Tensor next = quantizer.next_input(s, result.f_hat, h);
    result.indices.push_back(indices);
    if (s + 1 < S) {
      input = next.view({B, config.Cvae, pyramid.tokens(s + 1)}).transpose(1, 2).contiguous();
      if (guided)
        input = input.unsqueeze(0).expand({2, B, input.dim(1), config.Cvae}).reshape({2 * B, -1, config.Cvae});
    }
    if (observe) {
      view.indices = indices;
      view.f_hat = result.f_hat.clone();
      if (s + 1 < S) view.next_input = next;
      observe(view);
    }
  }
  return result;
}

}  // namespace terrace
