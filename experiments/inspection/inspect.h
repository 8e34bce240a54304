// The position tables of a checkpoint: their values and similarities, their gradients, their distance from the start.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/files/json.h"
#include "tensor/tensor.h"
#include "var/config.h"
#include "var/positions/encoding.h"

namespace terrace {

struct Inspection {
  std::string source;  // the checkpoint
  VarConfig config;
  std::optional<int64_t> step;        // that it was trained for; nullopt where the file does not tell
  std::vector<TableSummary> summary;  // now
  /// What the encoding adds, (L, C), before the first step and now; undefined for `none`. Files other than checkpoints
  /// of train_var tell nothing about the start: then `initial` and its like below are undefined too, but for a fixed
  /// table's.
  Tensor initial, table;
  /// The level embedding, (S, C), likewise; undefined without.
  Tensor initial_levels, levels;
  /// The start token's position, (1, C), likewise.
  Tensor initial_start, start;
  std::vector<int64_t> logged_steps;  // R
  Tensor position_gradient;           // (R, L) norm over channels of what arrives at each position
  Tensor scale_gradient;              // (R, S)

  int64_t positions() const { return table.defined() ? table.dim(0) : 0; }
};

/// Of a checkpoint of train_var, the folder of a run, or weights in any other format (var/weights/weights.h), the
/// official ones among them; `prefix` chooses between several models in a file. Of the weights the tables alone are
/// read. Throws IoError, ConfigError.
Inspection inspect_checkpoint(const std::string& path, const std::string& prefix = "");

/// Euclidean length of the rows of now - initial over that of initial (0 / 0 is 0), (L).
std::vector<double> relative_drift(const Tensor& initial, const Tensor& now);

/// Cosines of one scale as a picture of blocks: the block at (i, j) shows the cosine of position (i, j) with every
/// position of the scale, laid out as the scale is; `low` is dark, 1 bright. u8 (h, w, 3), about `side` pixels wide.
Tensor similarity_mosaic(const Tensor& table, int64_t begin, int64_t patch, double low, int64_t side);

/// Figures of every scale and position: similarities, gradients, drift.
Json inspection_json(const Inspection& inspection);
/// One self-contained page.
std::string inspection_report(const Inspection& inspection);

}  // namespace terrace
