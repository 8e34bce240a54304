#include "tensor/kernels/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tensor/base/ordered_bits.h"
#include "tensor/base/philox.h"
#include "tensor/device/parallel_size.h"

namespace terrace {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

void keep_largest(float* row, int64_t V, int64_t k, std::vector<float>& scratch) {
  scratch.assign(row, row + V);
  std::nth_element(scratch.begin(), scratch.begin() + (k - 1), scratch.end(), std::greater<>());
  const float smallest_kept = scratch[static_cast<size_t>(k - 1)];
  for (int64_t v = 0; v < V; ++v) {
    if (row[v] < smallest_kept) { row[v] = kMinusInfinity; }
  }
}

/// Classes that are filtered out already weigh nothing: only the others are sorted, by logit and among equals by class.
void keep_nucleus(float* row, int64_t V, double p, std::vector<uint64_t>& order, std::vector<float>& weights) {
  order.clear();
  for (int64_t v = 0; v < V; ++v) {
    if (row[v] != kMinusInfinity) { order.push_back(uint64_t{ordered_bits(row[v])} << 32 | static_cast<uint64_t>(v)); }
  }
  if (order.empty()) { return; }
  std::sort(order.begin(), order.end());
  const auto class_at = [&](size_t i) { return static_cast<int64_t>(order[i] & 0xFFFFFFFFu); };
  const float largest = row[class_at(order.size() - 1)];
  weights.resize(order.size());
  double total = 0;
  for (size_t i = 0; i < order.size(); ++i) { total += weights[i] = std::exp(row[class_at(i)] - largest); }
  double cumulative = 0;
  for (size_t i = 0; i + 1 < order.size(); ++i) {
    cumulative += weights[i];
    if (cumulative / total > 1 - p) { break; }
    row[class_at(i)] = kMinusInfinity;
  }
}

void filter(float* logits, int64_t rows, int64_t classes, int64_t top_k, double top_p) {
#pragma omp parallel if (2 * rows * classes > kMinParallelRowElements)
  {
    std::vector<float> scratch;
    std::vector<uint64_t> order;
#pragma omp for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      float* row = logits + r * classes;
      if (top_k > 0 && top_k < classes) { keep_largest(row, classes, top_k, scratch); }
      if (top_p > 0) { keep_nucleus(row, classes, top_p, order, scratch); }
    }
  }
}

/// Position of the draw `u` in [0, 1) in the distribution softmax(row).
int64_t choose(const float* row, int64_t V, double u) {
  const float largest = *std::max_element(row, row + V);
  double total = 0;
  for (int64_t v = 0; v < V; ++v) { total += std::exp(row[v] - largest); }
  const double target = u * total;
  double cumulative = 0;
  int64_t last = 0;
  for (int64_t v = 0; v < V; ++v) {
    const double weight = std::exp(row[v] - largest);
    if (weight == 0) { continue; }
    cumulative += weight;
    last = v;
    if (cumulative > target) { return v; }
  }
  return last;  // u * total was rounded up to the total
}

void draw(const float* logits, int64_t rows, int64_t classes, int64_t tokens, const int64_t* seeds, uint64_t stream,
          uint64_t first, int64_t* index) {
#pragma omp parallel for schedule(static) if (2 * rows * classes > kMinParallelRowElements)
  for (int64_t r = 0; r < rows; ++r) {
    const auto seed = static_cast<uint64_t>(seeds[r / tokens]);
    index[r] =
        choose(logits + r * classes, classes, uniform_draw(seed, stream, first + static_cast<uint64_t>(r % tokens)));
  }
}

void smooth_row(float* row, int64_t classes, const GumbelSoftmax& how, uint64_t seed, uint64_t stream) {
  for (int64_t v = 0; v < classes; ++v) {
    const double u = std::max(uniform_draw(seed, stream, static_cast<uint64_t>(v)), 0x1p-25);
    row[v] = static_cast<float>((row[v] * how.sharpness - std::log(-std::log(u))) / how.tau);
  }
  const float largest = *std::max_element(row, row + classes);
  double total = 0;
  for (int64_t v = 0; v < classes; ++v) { total += row[v] = std::exp(row[v] - largest); }
  for (int64_t v = 0; v < classes; ++v) { row[v] = static_cast<float>(row[v] / total); }
}

void smooth(float* logits, int64_t rows, int64_t classes, GumbelSoftmax how) {
#pragma omp parallel for schedule(static) if (2 * rows * classes > kMinParallelRowElements)
  for (int64_t r = 0; r < rows; ++r) {
    const uint64_t stream = how.stream + how.first + static_cast<uint64_t>(r % how.tokens);
    smooth_row(logits + r * classes, classes, how, static_cast<uint64_t>(how.seeds[r / how.tokens]), stream);
  }
}

TERRACE_REGISTER(gumbel_softmax, smooth);
TERRACE_REGISTER(filter_logits, filter);
TERRACE_REGISTER(draw_classes, draw);

}  // namespace
}  // namespace terrace
