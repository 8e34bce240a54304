// Positional encodings of the token pyramid behind one interface: what is added to the L tokens that enter block 0.
//
//   learned          trunc-normal, std sqrt(1/(3C))              parameter pos_1LC
//   learned-xavier   Xavier-uniform over the (L, C) matrix        parameter pos_1LC
//   sinusoid-1d      sin/cos of the flat index 0..L-1             buffer pos_fixed_1LC
//   sinusoid-2d      half the channels row, half column, per scale   buffer pos_fixed_1LC
//   mixed            w learned + (1 - w) sinusoid-2d              both
//   none             nothing is added
//
// A sinusoid's RMS is 0.71, many times a learned table's 1/sqrt(3C) at the start: `scale` and `rms` of the
// configuration let comparisons separate the shape of a table from its size.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "autograd/variable.h"
#include "tensor/random.h"
#include "var/config.h"
#include "var/pyramid.h"

namespace terrace {

/// A table as it enters the sum (weights and scales applied).
struct TableSummary {
  std::string name;
  double rms = 0;
  bool learned = false;
};

class PositionalEncoding {
 public:
  virtual ~PositionalEncoding() = default;

  /// What is added to the tokens, (1, L, C), as a function of the learned part; undefined for `none`.
  virtual Variable table() = 0;
  /// The learned part (pos_1LC) and the fixed one (pos_fixed_1LC), (1, L, C), scaled but not weighted; undefined where
  /// there is none. The transformer registers them under these names.
  virtual Variable& learned() { return learned_; }
  virtual Tensor& fixed() { return fixed_; }
  /// RMS of every part and, where there are two, of the sum.
  virtual std::vector<TableSummary> summary();

 protected:
  Variable learned_;
  Tensor fixed_;
};

/// Draws the learned part from `generator`. Throws ConfigError where the channels do not suit a sinusoid (2-D needs a
/// multiple of 4).
std::unique_ptr<PositionalEncoding> make_positional_encoding(const PositionalConfig& config, const Pyramid& pyramid,
                                                             int64_t channels, Generator& generator);

double root_mean_square(const Tensor& t);

}  // namespace terrace
