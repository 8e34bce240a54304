// What tests of weight files share.
#pragma once

#include "data/formats/open_tensor_file.h"

namespace terrace {

/// Reads every tensor: whole, and its last row.
inline void read_everything(const TensorFile& file) {
  for (const TensorEntry& entry : file.entries()) {
    file.read(entry.name);
    if (!entry.shape.empty() && entry.shape[0] > 0) { file.read_rows(entry.name, entry.shape[0] - 1, entry.shape[0]); }
  }
}

}  // namespace terrace
