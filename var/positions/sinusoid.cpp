// sinusoid-1d: sines and cosines of the flat index 0..L-1.
// sinusoid-2d: half the channels for the row, half for the column, counted within each scale.
//
// Their root mean square is 0.71, many times a learned table's 1/sqrt(3C) at the start: `scale` and `rms` of the
// configuration let comparisons separate the shape of a table from its size.
#include "nn/positional.h"
#include "var/positions/tables.h"

namespace terrace {

Tensor sinusoid_2d_table(const VarConfig& config) {
  const Tensor table = pyramid_sinusoid_2d(config.patch_nums, config.embed_dim);
  return scaled(table.view({1, config.length(), config.embed_dim}), config.positions);
}

std::unique_ptr<PositionalEncoding> make_sinusoid_1d(const VarConfig& config, Generator&) {
  const Tensor table = pyramid_sinusoid_1d(config.patch_nums, config.embed_dim);
  return std::make_unique<FixedTable>(scaled(table.view({1, config.length(), config.embed_dim}), config.positions));
}

std::unique_ptr<PositionalEncoding> make_sinusoid_2d(const VarConfig& config, Generator&) {
  return std::make_unique<FixedTable>(sinusoid_2d_table(config));
}

}  // namespace terrace
