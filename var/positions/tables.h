// What encodings that add a table are made of.
#pragma once

#include <memory>

#include "tensor/random.h"
#include "var/config.h"
#include "var/positions/encoding.h"

namespace terrace {

/// Names of the learned table, a parameter as in the official models, and of the fixed one, a buffer. Both (1, L, C).
constexpr const char* kLearnedTable = "pos_1LC";
constexpr const char* kFixedTable = "pos_fixed_1LC";

/// (1, L, C), trunc-normal with standard deviation sqrt(1/(3C)).
Variable trunc_normal_table(const VarConfig& config, Generator& g);
/// (1, L, C): half the channels the row, half the column of a token in its scale, as scaled() leaves it.
Tensor sinusoid_2d_table(const VarConfig& config);

/// A fixed table at the size that `positions.scale` or `positions.rms` ask for.
Tensor scaled(Tensor table, const PositionalConfig& positions);

class FixedTable : public PositionalEncoding {
 public:
  explicit FixedTable(Tensor table);
  Variable table() const override { return Variable(table_); }

 private:
  Tensor table_;
};

}  // namespace terrace
