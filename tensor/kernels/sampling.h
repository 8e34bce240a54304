// Choosing tokens from logits (rows, classes): the slots of var/transformer/sampler.h.
#pragma once

#include "tensor/device/kernel.h"

namespace terrace {

/// In place: all but the top_k largest of a row (those equal to the k-th stay) become -inf, then those of ascending
/// cumulative probability <= 1 - top_p, equal ones in the order of their indices; the best always stays. 0: no filter.
inline constinit Kernel<void(float* logits, int64_t rows, int64_t classes, int64_t top_k, double top_p)> filter_logits{
    "filter_logits_"};

/// index[r] = the class in which the draw falls in the distribution softmax(logits[r]): the first whose cumulative
/// weight exceeds draw * total. Row r is token r % tokens of image r / tokens, and takes draw `first` + r % tokens of
/// stream `stream` of its image's seed.
inline constinit Kernel<void(const float* logits, int64_t rows, int64_t classes, int64_t tokens, const int64_t* seeds,
                             uint64_t stream, uint64_t first, int64_t* index)>
    draw_classes{"sample"};

/// In place, of every row: softmax((logits * sharpness + noise) / tau), noise = -ln(-ln u) of class v by draw v of the
/// stream `stream` + `first` + r % tokens of the image's seed, u at least 2^-25. Rows belong to images as above.
struct GumbelSoftmax {
  double sharpness, tau;
  const int64_t* seeds;
  int64_t tokens;
  uint64_t stream, first;
};
inline constinit Kernel<void(float* logits, int64_t rows, int64_t classes, GumbelSoftmax how)> gumbel_softmax{
    "gumbel_softmax"};

}  // namespace terrace
