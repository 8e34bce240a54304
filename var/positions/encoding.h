// A positional encoding of the token pyramid.
//
// An encoding may act at several sites of the transformer. At each it is asked by one virtual function, whose default
// is that the encoding does nothing there:
//
//   table    what is added to the L tokens that enter block 0
//
// A further site (a function of the tokens themselves, a rotation of q and k, a bias on attention scores, the keys that
// a query sees, a term of the loss) is one more virtual with such a default, and one place in the transformer that asks
// for it: for rotations and biases SelfAttention, once the l2 norm has been applied and before keys go into the cache;
// for visible keys where forward() and next_scale() make their Visibility. What takes part in every block is asked with
// the block's index.
//
// Parameters and buffers are registered by the encoding under the names that they have in the model's state
// ("pos_1LC", "blocks.0.attn.rope_freqs"): the transformer takes them over as they are, exempts the parameters from
// weight decay and keeps all of them in f32; checkpoints store their first values. Nothing else knows these names.
#pragma once

#include <string>
#include <vector>

#include "nn/module.h"

namespace terrace {

/// A table as it enters the sum (weights and scales applied).
struct TableSummary {
  std::string name;
  double rms = 0;
  bool learned = false;
};

class PositionalEncoding : public Module {
 public:
  /// What is added to the tokens, (1, L, C), as a function of the parameters; undefined where nothing is.
  virtual Variable table() const { return {}; }
  /// Root mean square of every part of the table and, where there are several, of the sum.
  virtual std::vector<TableSummary> summary() const;
};

double root_mean_square(const Tensor& t);

/// All that tokens get beside their content: the parts of the encoding, "pos_start", and "lvl_embed" where `levels` is
/// defined.
std::vector<TableSummary> table_summary(const PositionalEncoding& positions, const Tensor& start, const Tensor& levels);

}  // namespace terrace
