// Attention's forward pass by AVX512-BF16's dot products of pairs. Included by attention.cpp only.
#pragma once

#include <algorithm>

#include "tensor/device/device.h"
#include "tensor/kernels/attention_rows.h"
#include "tensor/kernels/gemm/lane_product.h"

namespace terrace {
namespace {

#ifdef __AVX512F__
/// The forward pass for queries that see every key: probabilities are rounded to bf16, scores and sums are f32. Pairs
/// are neighbours along D in the first product, and neighbouring keys in the second.
struct Bf16Forward {
  const AttentionProblem& p;
  AttentionRows<const BFloat16> q, k, v;
  AttentionRows<BFloat16> y;
  float* lse;

  using Pairs = uint32_t;

  static bool serves(const AttentionProblem& p, AttentionRows<const BFloat16> q, AttentionRows<const BFloat16> k,
                     const float* head_factor) {
    const auto even = [](const AttentionRows<const BFloat16>& rows) {
      return (rows.batch | rows.token | rows.head) % 2 == 0 && reinterpret_cast<uintptr_t>(rows.data) % 4 == 0;
    };
    return has_bf16_products() && head_factor == nullptr && p.D % 2 == 0 && p.block_count == 1 &&
           p.blocks[0].key_end == p.Lk && even(q) && even(k);
  }

  void run(int64_t b, int64_t h, float* workspace) const {
    const int64_t tile = attention_tile_rows(p.Lk), stride = score_stride<float>(p.Lk);
    const int64_t width = attention_padded(p.D), keys = attention_padded(p.Lk);
    Workspace<float> space(workspace);
    auto* const key_panels = reinterpret_cast<Pairs*>(space.take(keys * width / 2));
    auto* const value_panels = reinterpret_cast<Pairs*>(space.take(keys * width / 2));
    float* const scores = space.take(tile * stride);
    float* const result = space.take(tile * width);
    pack_keys(b, h, key_panels);
    pack_values(b, h, value_panels);
    for (int64_t begin = 0; begin < p.Lq; begin += tile) {
      const int64_t n = std::min(tile, p.Lq - begin);
      multiply(n, p.D, p.Lk, row_of(q, b, h, begin), q.token, key_panels, scores, stride);
      float sums[kAttentionTile];
      for (int64_t i = 0; i < n; ++i) {
        sums[i] = probabilities(scores + i * stride, (b * p.H + h) * p.Lq + begin + i);
      }
      multiply(n, p.Lk + p.Lk % 2, p.D, reinterpret_cast<const BFloat16*>(scores), 2 * stride, value_panels, result,
               width);
      for (int64_t i = 0; i < n; ++i) { store_row(result + i * width, 1 / sums[i], p.D, row_of(y, b, h, begin + i)); }
    }
  }

 private:
  static int64_t whole_vectors(int64_t columns) { return (columns + kLanes<float> - 1) / kLanes<float>; }

  /// c (rows, columns) = a b: a's rows are `stride` apart, b is packed in panels.
  static void multiply(int64_t rows, int64_t depth, int64_t columns, const BFloat16* a, int64_t stride, const Pairs* b,
                       float* c, int64_t c_row) {
    constexpr float kNoBias[kRows] = {};
    const EvenSplit vectors(whole_vectors(columns), kMaxVectors, 1);
    for (int64_t panel = 0; panel < vectors.count; ++panel) {
      const int64_t lane = vectors.begin(panel) * kLanes<float>;
      for (int64_t i = 0; i < rows; i += kRows) {
        multiply_of<Bf16Dot>(std::min<int64_t>(kRows, rows - i), vectors.size(panel))(
            depth, a + i * stride, stride, b + lane * (depth / 2), {c + i * c_row + lane, c_row, kNoBias});
      }
    }
  }

  void pack_keys(int64_t b, int64_t h, Pairs* panels) const {
    const EvenSplit vectors(whole_vectors(p.Lk), kMaxVectors, 1);
    for (int64_t panel = 0; panel < vectors.count; ++panel) {
      const int64_t lane = vectors.begin(panel) * kLanes<float>, count = vectors.size(panel) * kLanes<float>;
      pack_lanes(reinterpret_cast<const float*>(row_of(k, b, h, lane)), k.token / 2, std::min(count, p.Lk - lane),
                 p.D / 2, count,
                 reinterpret_cast<float*>(panels + lane * (p.D / 2)));  // pairs are copied as if they were floats
    }
  }

  /// The last of an odd number of keys is paired with zeros.
  void pack_values(int64_t b, int64_t h, Pairs* panels) const {
    const EvenSplit vectors(whole_vectors(p.D), kMaxVectors, 1);
    const int64_t pairs = (p.Lk + 1) / 2;
    for (int64_t panel = 0; panel < vectors.count; ++panel) {
      const int64_t lane = vectors.begin(panel) * kLanes<float>, width = vectors.size(panel) * kLanes<float>;
      const int64_t count = std::min(width, p.D - lane);
      Pairs* out = panels + lane * pairs;
      for (int64_t j = 0; j < p.Lk; j += 2, out += width) {
        const auto* low = reinterpret_cast<const uint16_t*>(row_of(v, b, h, j) + lane);
        const bool paired = j + 1 < p.Lk;
        const auto* high = reinterpret_cast<const uint16_t*>(row_of(v, b, h, paired ? j + 1 : j) + lane);
        const Pairs mask = paired ? 0xFFFF0000u : 0;
#pragma omp simd
        for (int64_t d = 0; d < count; ++d) { out[d] = low[d] | (static_cast<Pairs>(high[d]) << 16 & mask); }
        for (int64_t d = count; d < width; ++d) { out[d] = 0; }
      }
    }
  }

  /// Replaces a row of scores by exp(scores - max), rounded to bf16 and stored from the row's beginning; returns their
  /// sum before rounding.
  float probabilities(float* row, int64_t query) const {
    const auto scale = static_cast<float>(p.scale);
#pragma omp simd
    for (int64_t j = 0; j < p.Lk; ++j) { row[j] *= scale; }
    float top;
    const float sum = exponentials(row, p.Lk, &top);
    if (lse != nullptr) { lse[query] = top + math::log(sum); }
    const int64_t whole = whole_vectors(p.Lk) * kLanes<float>;
    for (int64_t j = p.Lk; j < whole; ++j) { row[j] = 0; }
    Bf16Dot::round_row(row, whole, reinterpret_cast<BFloat16*>(row));  // in place: never writes ahead of what it reads
    return sum;
  }
};
#endif

}  // namespace
}  // namespace terrace
