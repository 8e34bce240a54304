// Weights from any format to any other (experiments/convert_weights.cpp).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "var/weights/weights.h"

namespace terrace {

struct ExportOptions {
  WeightOptions source = {};
  std::optional<DType> dtype = {};  // of floating tensors; nullopt: as they are
};

struct ExportReport {
  std::string what;  // "VAR transformer", "tokenizer", "" for others
  int64_t tensors = 0, values = 0;
  /// What has to be changed in the released code before it loads the file (var/weights/official_code.h); nothing of
  /// .h5.
  std::vector<std::string> missing_in_official_code;
};

/// Writes the weights in `in`, a file or the folder of a run, as `out`, in the format of its ending: .safetensors,
/// .pth, .pt, .npz, or .h5, a checkpoint of Terrace that loads everywhere but has nothing to resume from.
///
/// A transformer or a tokenizer is found as by find_weights and keeps its official names; the buffers that the official
/// code's strict loading wants are added where they are missing; a tokenizer's averaged weights go before the others.
/// All formats keep the configuration, the names of the classes and the hash of a transformer's tokenizer beside the
/// tensors (TensorFile::metadata), so that any of them loads as the checkpoint does. Anything else is copied as it is,
/// which .h5 does not take. Throws IoError, ConfigError.
ExportReport export_weights(const std::string& in, const std::string& out, const ExportOptions& options);

}  // namespace terrace
