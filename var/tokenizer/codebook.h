// What keeps a codebook in use: initial codes from the data, counts of how often codes are used, and new values for
// codes that are not.
#pragma once

#include <vector>

#include "tensor/random.h"
#include "tensor/tensor.h"
#include "var/pyramid.h"

namespace terrace {

/// Lloyd's algorithm: `count` centres (count, C) of rows (N, C), both f32. Starts as k-means++ does: the first centre
/// is a row drawn from `g`, each further one a row drawn with a probability that grows with the squared distance to the
/// nearest centre so far (rows repeat where fewer than `count` differ); a centre without rows takes the row that is
/// farthest from its own centre. Deterministic. Throws ShapeError where rows are not two-dimensional or there are none.
Tensor kmeans(const Tensor& rows, int64_t count, int64_t iterations, Generator& g);

/// How often each scale used each code: (S, V) f32 counts of indices (B, L).
Tensor count_hits(const Tensor& indices, const Pyramid& pyramid, int64_t vocab_size);

struct CodeUse {
  std::vector<double> usage;       // per scale: share of the codes with more than `threshold` times the mean hits
  std::vector<double> perplexity;  // per scale: exp(entropy of the codes)
  double any = 0;                  // share of the codes that some scale uses, by the same threshold
};
/// hits (S, V) f32: counts, or their moving average. `threshold` 0: one hit counts. The official trainer reports 0.08.
CodeUse code_use(const Tensor& hits, double threshold);

/// Remembers when each code was last used.
class CodeClock {
 public:
  explicit CodeClock(int64_t vocab_size) : last_(Tensor::zeros({vocab_size}, DType::kI64)) {}
  /// hits (S, V) of step `step`.
  void observe(const Tensor& hits, int64_t step);
  /// Codes without a hit for `patience` steps, ascending.
  std::vector<int64_t> idle(int64_t step, int64_t patience) const;
  void restart(int64_t code, int64_t step) { last_.data<int64_t>()[code] = step; }
  Tensor& last_use() { return last_; }  // (V) i64, the state
  const Tensor& last_use() const { return last_; }

 private:
  Tensor last_;
};

/// Overwrites `codes` of the codebook (V, C): each takes a row of the residuals, drawn from `g` with a probability
/// proportional to the squared distance from the row's nearest code; the scales take turns.
void reseed_codes(Tensor& codebook, const std::vector<int64_t>& codes, const std::vector<Tensor>& residuals,
                  const Tensor& indices, const Pyramid& pyramid, Generator& g);

}  // namespace terrace
