#include "var/tokenizer/codebook.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "autograd/ops/nearest_code.h"
#include "tensor/device/interruption.h"

namespace terrace {
namespace {

double squared_distance(const float* a, const float* b, int64_t C) {
  double sum = 0;
  for (int64_t c = 0; c < C; ++c) { sum += (static_cast<double>(a[c]) - b[c]) * (static_cast<double>(a[c]) - b[c]); }
  return sum;
}

void copy_row(const float* from, float* to, int64_t C) {
  std::memcpy(to, from, sizeof(float) * static_cast<size_t>(C));
}

// Centres become the means of their rows; empty ones take the rows with the largest errors.
void move_centres(const Tensor& rows, const Tensor& assigned, Tensor& centres) {
  const int64_t N = rows.dim(0), C = rows.dim(1), V = centres.dim(0);
  const float* x = rows.data<float>();
  const int64_t* owner = assigned.data<int64_t>();
  float* centre = centres.data<float>();
  std::vector<double> sums(static_cast<size_t>(V * C)), error(static_cast<size_t>(N));
  std::vector<int64_t> members(static_cast<size_t>(V));
  for (int64_t n = 0; n < N; ++n) {
    const int64_t v = owner[n];
    ++members[static_cast<size_t>(v)];
    for (int64_t c = 0; c < C; ++c) { sums[static_cast<size_t>(v * C + c)] += x[n * C + c]; }
    error[static_cast<size_t>(n)] = squared_distance(x + n * C, centre + v * C, C);
  }
  std::vector<int64_t> empty;
  for (int64_t v = 0; v < V; ++v) {
    const int64_t count = members[static_cast<size_t>(v)];
    if (count == 0) {
      empty.push_back(v);
      continue;
    }
    for (int64_t c = 0; c < C; ++c) {
      centre[v * C + c] = static_cast<float>(sums[static_cast<size_t>(v * C + c)] / static_cast<double>(count));
    }
  }
  std::vector<int64_t> worst(static_cast<size_t>(N));
  for (int64_t n = 0; n < N; ++n) { worst[static_cast<size_t>(n)] = n; }
  const size_t wanted = std::min(empty.size(), worst.size());
  std::partial_sort(worst.begin(), worst.begin() + static_cast<int64_t>(wanted), worst.end(),
                    [&](int64_t a, int64_t b) {
                      const double ea = error[static_cast<size_t>(a)], eb = error[static_cast<size_t>(b)];
                      return ea != eb ? ea > eb : a < b;
                    });
  for (size_t i = 0; i < wanted; ++i) { copy_row(x + worst[i] * C, centre + empty[i] * C, C); }
}

// k-means++ (Arthur and Vassilvitskii 2007): each further centre is a row drawn with probability proportional to its
// squared distance from the centres so far; any row where none is away from them.
Tensor spread_centres(const Tensor& rows, int64_t count, Generator& g) {
  const int64_t N = rows.dim(0), C = rows.dim(1);
  const float* x = rows.data<float>();
  Tensor centres = Tensor::empty({count, C});
  float* centre = centres.data<float>();
  std::vector<float> nearest(static_cast<size_t>(N), std::numeric_limits<float>::max());
  std::vector<double> cumulative(static_cast<size_t>(N));
  int64_t chosen = g.next_below(N);
  for (int64_t v = 0; v < count; ++v) {
    interruption_point();
    copy_row(x + chosen * C, centre + v * C, C);
    double total = 0;
    for (int64_t n = 0; n < N; ++n) {
      float distance = 0;
      for (int64_t c = 0; c < C; ++c) {
        const float difference = x[n * C + c] - centre[v * C + c];
        distance += difference * difference;
      }
      nearest[static_cast<size_t>(n)] = std::min(nearest[static_cast<size_t>(n)], distance);
      total += nearest[static_cast<size_t>(n)];
      cumulative[static_cast<size_t>(n)] = total;
    }
    const double at = g.next_uniform() * total;
    const auto found = std::upper_bound(cumulative.begin(), cumulative.end(), at);
    chosen = total > 0 ? std::min<int64_t>(found - cumulative.begin(), N - 1) : g.next_below(N);
  }
  return centres;
}

}  // namespace

Tensor kmeans(const Tensor& rows, int64_t count, int64_t iterations, Generator& g) {
  check_dtype(rows, DType::kF32, "kmeans", "rows");
  if (rows.ndim() != 2 || rows.dim(0) == 0) {
    throw ShapeError(cat("kmeans: rows must be (N, C) with N > 0, got ", rows.describe()));
  }
  const Tensor x = rows.contiguous();
  Tensor centres = spread_centres(x, count, g);
  for (int64_t i = 0; i < iterations; ++i) {
    interruption_point();
    move_centres(x, nearest_code(x, centres), centres);
  }
  return centres;
}

Tensor count_hits(const Tensor& indices, const Pyramid& pyramid, int64_t vocab_size) {
  const Tensor rows = indices.to(kCpu).contiguous();
  const int64_t B = rows.dim(0), L = pyramid.length();
  check_shape(rows, {B, L}, "count_hits", "indices");
  Tensor hits = Tensor::zeros({pyramid.scales(), vocab_size});
  const int64_t* index = rows.data<int64_t>();
  float* count = hits.data<float>();
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t s = 0; s < pyramid.scales(); ++s) {
      for (int64_t t = pyramid.begin(s); t < pyramid.end(s); ++t) { count[s * vocab_size + index[b * L + t]] += 1; }
    }
  }
  return hits;
}

CodeUse code_use(const Tensor& counts, double threshold) {
  const Tensor hits = counts.to(kCpu);
  const int64_t S = hits.dim(0), V = hits.dim(1);
  const float* count = hits.data<float>();
  CodeUse use;
  std::vector<bool> any(static_cast<size_t>(V));
  for (int64_t s = 0; s < S; ++s) {
    double total = 0, entropy = 0;
    for (int64_t v = 0; v < V; ++v) { total += count[s * V + v]; }
    const double least = threshold * total / static_cast<double>(V);
    int64_t used = 0;
    for (int64_t v = 0; v < V; ++v) {
      const double c = count[s * V + v];
      if (c > 0) { entropy -= c / total * std::log(c / total); }
      if (c > least) {
        ++used;
        any[static_cast<size_t>(v)] = true;
      }
    }
    use.usage.push_back(static_cast<double>(used) / static_cast<double>(V));
    use.perplexity.push_back(std::exp(entropy));
  }
  use.any = static_cast<double>(std::count(any.begin(), any.end(), true)) / static_cast<double>(V);
  return use;
}

void CodeClock::observe(const Tensor& hits, int64_t step) {
  const int64_t S = hits.dim(0), V = hits.dim(1);
  const float* count = hits.data<float>();
  for (int64_t s = 0; s < S; ++s) {
    for (int64_t v = 0; v < V; ++v) {
      if (count[s * V + v] > 0) { last_.data<int64_t>()[v] = step; }
    }
  }
}

std::vector<int64_t> CodeClock::idle(int64_t step, int64_t patience) const {
  std::vector<int64_t> codes;
  for (int64_t v = 0; v < last_.dim(0); ++v) {
    if (step - last_.data<int64_t>()[v] >= patience) { codes.push_back(v); }
  }
  return codes;
}

namespace {

// Draws a row with probability proportional to its squared distance from its code.
class ErrorSampler {
 public:
  ErrorSampler(const Tensor& rows, const Tensor& codebook, const Tensor& indices, const Pyramid& pyramid, int64_t s)
      : rows_(rows) {
    const int64_t N = rows.dim(0), C = rows.dim(1), n = pyramid.tokens(s), L = pyramid.length();
    double sum = 0;
    for (int64_t i = 0; i < N; ++i) {
      const int64_t code = indices.data<int64_t>()[i / n * L + pyramid.begin(s) + i % n];
      sum += squared_distance(rows.data<float>() + i * C, codebook.data<float>() + code * C, C);
      cumulative_.push_back(sum);
    }
  }
  const float* draw(Generator& g) const {
    const double at = g.next_uniform() * cumulative_.back();
    const auto found = std::upper_bound(cumulative_.begin(), cumulative_.end(), at);
    const int64_t row = std::min<int64_t>(found - cumulative_.begin(), rows_.dim(0) - 1);
    return rows_.data<float>() + row * rows_.dim(1);
  }

 private:
  Tensor rows_;
  std::vector<double> cumulative_;
};

}  // namespace

void reseed_codes(Tensor& codebook, const std::vector<int64_t>& codes, const std::vector<Tensor>& residuals,
                  const Tensor& indices, const Pyramid& pyramid, Generator& g) {
  if (codes.empty()) { return; }
  const int64_t C = codebook.dim(1), S = pyramid.scales();
  const Tensor original = codebook.clone();  // distances are to the codes that were chosen
  std::vector<ErrorSampler> samplers;
  for (int64_t s = 0; s < S; ++s) {
    samplers.emplace_back(residuals[static_cast<size_t>(s)], original, indices, pyramid, s);
  }
  const int64_t first = g.next_below(S);
  for (size_t i = 0; i < codes.size(); ++i) {
    const ErrorSampler& sampler = samplers[static_cast<size_t>((first + static_cast<int64_t>(i)) % S)];
    copy_row(sampler.draw(g), codebook.data<float>() + codes[i] * C, C);
  }
  codebook.bump_version();
}

}  // namespace terrace
