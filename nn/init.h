// Initialisers: they overwrite a parameter's value in place. Draws come from the generator given, one per element, so
// a parameter's start depends on the seed and the order of the calls only.
#pragma once

#include "autograd/variable.h"
#include "tensor/random.h"

namespace terrace {

struct Fans {
  int64_t in = 0;
  int64_t out = 0;
};
/// Of a weight (out, in, ...): trailing extents count as the receptive field. Throws ShapeError below two dimensions.
Fans compute_fans(const Shape& shape);

/// Normal(0, std) cut at the ABSOLUTE bounds -2 and 2 (as PyTorch's default, which VAR uses), not at multiples of std.
void trunc_normal_(Variable& p, double std, Generator& g);
void normal_(Variable& p, double std, Generator& g);
void uniform_(Variable& p, double low, double high, Generator& g);
/// Uniform in +-gain sqrt(6 / (in + out)).
void xavier_uniform_(Variable& p, double gain, Generator& g);
/// Normal with std gain sqrt(2 / (in + out)).
void xavier_normal_(Variable& p, double gain, Generator& g);
/// Uniform in +-gain sqrt(3 / in); gain 1/sqrt(3) is the default start of linear and convolution layers in PyTorch,
/// sqrt(2) He et al. 2015 for ReLU.
void kaiming_uniform_(Variable& p, double gain, Generator& g);
void constant_(Variable& p, double value);
inline void zeros_(Variable& p) { constant_(p, 0); }
inline void ones_(Variable& p) { constant_(p, 1); }

}  // namespace terrace
