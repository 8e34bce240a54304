// Weights from any format to any other (experiments/convert_weights.cpp).
#pragma once

#include <optional>
#include <string>

#include "var/weights/weights.h"

namespace terrace {

struct ExportOptions {
  WeightOptions source = {};
  std::optional<DType> dtype = {};  // of floating tensors; nullopt: as they are
};

struct ExportReport {
  std::string what;  // "VAR transformer", "tokenizer", "tensors"
  int64_t tensors = 0, values = 0;
};

/// Writes the weights in `in` as `out`, in the format of its ending: .safetensors, .pth, .pt, .npz, or .h5, a
/// checkpoint of Terrace that loads everywhere but has nothing to resume from.
///
/// A transformer or a tokenizer is found as by find_weights and keeps its official names; the buffers that the official
/// code's strict loading wants are added where they are missing; a tokenizer's averaged weights go before the others.
/// Anything else is copied as it is, which .h5 does not take. Throws IoError, ConfigError.
ExportReport export_weights(const std::string& in, const std::string& out, const ExportOptions& options);

}  // namespace terrace
