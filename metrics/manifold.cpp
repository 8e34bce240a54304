#include "metrics/manifold.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/matmul.h"

namespace terrace {
namespace {

constexpr int64_t kTile = 1024;

std::vector<double> squared_norms(const Tensor& rows) {
  std::vector<double> norms;
  for (int64_t r = 0; r < rows.dim(0); ++r) {
    const double* row = rows.data<double>() + r * rows.dim(1);
    double sum = 0;
    for (int64_t c = 0; c < rows.dim(1); ++c) { sum += row[c] * row[c]; }
    norms.push_back(sum);
  }
  return norms;
}

/// |a_i - b_j|^2 = |a_i|^2 + |b_j|^2 - 2 a_i.b_j. What is within the rounding of that sum is no distance at all: copies
/// of a row are at 0 of each other, as ball tests need it.
Tensor squared_distances(const Tensor& a, const Tensor& b) {
  Tensor d = matmul(a, b.transpose(0, 1));
  const std::vector<double> of_a = squared_norms(a), of_b = squared_norms(b);
  double* p = d.data<double>();
  for (size_t i = 0; i < of_a.size(); ++i) {
    for (size_t j = 0; j < of_b.size(); ++j, ++p) {
      const double sum = of_a[i] + of_b[j], square = sum - 2 * *p;
      *p = square > 8 * std::numeric_limits<double>::epsilon() * sum ? square : 0;
    }
  }
  return d;
}

/// Counts the pairs that are compared.
class Pairs {
 public:
  Pairs(int64_t total, const std::function<void(int64_t, int64_t)>& progress) : total_(total), progress_(progress) {}
  void add(int64_t count) {
    done_ += count;
    if (progress_) { progress_(done_, total_); }
  }

 private:
  int64_t done_ = 0, total_;
  const std::function<void(int64_t, int64_t)>& progress_;
};

/// Calls f(first row of x, first row of y, squared distances) for every tile.
template <class F>
void for_tiles(const FeatureRows& x, const FeatureRows& y, Pairs& pairs, const F& f) {
  for (int64_t i = 0; i < x.size(); i += kTile) {
    const Tensor a = x.read(i, std::min(x.size(), i + kTile));
    for (int64_t j = 0; j < y.size(); j += kTile) {
      const Tensor distances = squared_distances(a, y.read(j, std::min(y.size(), j + kTile)));
      f(i, j, distances);
      pairs.add(distances.numel());
    }
  }
}

/// The k smallest values that were shown, the largest of them first.
class Smallest {
 public:
  explicit Smallest(int64_t k) : k_(static_cast<size_t>(k)) {}
  void show(double value) {
    if (heap_.size() == k_) {
      if (value >= heap_.front()) { return; }
      std::pop_heap(heap_.begin(), heap_.end());
      heap_.back() = value;
    } else {
      heap_.push_back(value);
    }
    std::push_heap(heap_.begin(), heap_.end());
  }
  std::vector<double> sorted() const {
    std::vector<double> values = heap_;
    std::sort(values.begin(), values.end());
    return values;
  }

 private:
  size_t k_;
  std::vector<double> heap_;
};

/// Squared radii of every row for every k of `ks`: result[i][row].
std::vector<std::vector<double>> squared_radii(const FeatureRows& x, const std::vector<int64_t>& ks, Pairs& pairs) {
  const int64_t most = *std::max_element(ks.begin(), ks.end());
  for (const int64_t k : ks) {
    if (k < 1 || k >= x.size()) {
      throw ConfigError(cat("neighbours: the ", k, "-th nearest other image of ", x.size(),
                            "; from 1 to fewer than there are images"));
    }
  }
  std::vector<Smallest> nearest(static_cast<size_t>(x.size()), Smallest(most));
  for_tiles(x, x, pairs, [&](int64_t i, int64_t j, const Tensor& d) {
    const double* p = d.data<double>();
    for (int64_t r = 0; r < d.dim(0); ++r) {
      for (int64_t c = 0; c < d.dim(1); ++c, ++p) {
        if (i + r != j + c) { nearest[static_cast<size_t>(i + r)].show(*p); }
      }
    }
  });
  std::vector<std::vector<double>> radii(ks.size());
  for (const Smallest& s : nearest) {
    const std::vector<double> values = s.sorted();
    for (size_t k = 0; k < ks.size(); ++k) { radii[k].push_back(values[static_cast<size_t>(ks[k] - 1)]); }
  }
  return radii;
}

double share(const std::vector<bool>& hits) {
  return static_cast<double>(std::count(hits.begin(), hits.end(), true)) / static_cast<double>(hits.size());
}

}  // namespace

std::vector<double> neighbour_radii(const FeatureRows& x, int64_t k) {
  const std::function<void(int64_t, int64_t)> silent;
  Pairs pairs(x.size() * x.size(), silent);
  std::vector<double> radii = squared_radii(x, {k}, pairs).front();
  for (double& r : radii) { r = std::sqrt(r); }
  return radii;
}

ManifoldScores manifold_scores(const FeatureRows& real, const FeatureRows& fake, const ManifoldOptions& options) {
  if (real.dim() != fake.dim()) {
    throw ShapeError(cat("manifold_scores: features of ", real.dim(), " against features of ", fake.dim()));
  }
  const int64_t R = real.size(), F = fake.size();
  Pairs pairs(R * R + F * F + R * F, options.progress);
  const auto of_real = squared_radii(real, {options.k_precision, options.k_density}, pairs);
  const auto of_fake = squared_radii(fake, {options.k_precision}, pairs);
  std::vector<bool> precise(static_cast<size_t>(fake.size())), recalled(static_cast<size_t>(real.size()));
  std::vector<bool> covered(static_cast<size_t>(real.size()));
  int64_t in_balls = 0;
  for_tiles(real, fake, pairs, [&](int64_t i, int64_t j, const Tensor& d) {
    const double* p = d.data<double>();
    for (int64_t r = 0; r < d.dim(0); ++r) {
      const auto row = static_cast<size_t>(i + r);
      for (int64_t c = 0; c < d.dim(1); ++c, ++p) {
        const auto column = static_cast<size_t>(j + c);
        if (*p <= of_real[0][row]) { precise[column] = true; }
        if (*p <= of_fake[0][column]) { recalled[row] = true; }
        if (*p < of_real[1][row]) {
          ++in_balls;
          covered[row] = true;
        }
      }
    }
  });
  return {.precision = share(precise),
          .recall = share(recalled),
          .density = static_cast<double>(in_balls) / static_cast<double>(options.k_density * fake.size()),
          .coverage = share(covered)};
}

}  // namespace terrace
