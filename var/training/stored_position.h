// Where the training stands that a checkpoint is of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace terrace {

struct StoredPosition {
  int64_t step = 0;   // done
  int64_t steps = 0;  // of the whole training, as it was planned
};

/// Of a checkpoint of train_vqvae or train_var; nullopt where the file does not exist, cannot be read, or holds weights
/// without a training.
std::optional<StoredPosition> stored_position(const std::string& path);

}  // namespace terrace
