// Refuses a training for whose steps the memory is not there, before anything is allocated.
#pragma once

#include <string>

#include "tensor/device/device.h"
#include "var/config.h"
#include "var/training/var_train_options.h"
#include "var/vqvae_config.h"

namespace terrace {

/// Throws ConfigError where a step of the configuration takes more than available_memory() by the lower bound of
/// var/step_memory.h: that names the batch's option with its value, or the options of the model where a single image is
/// too much. The memory of a GPU is its driver's to tell: there nothing is refused.
void check_step_memory(const VqvaeConfig& config, int64_t batch, Device device, const std::string& option = "--batch");

/// A step of `ranks` processes on this machine; each computes batch / accumulate images at once.
void check_step_memory(const VarConfig& config, const VarTrainOptions& options, int64_t ranks, Device device);

}  // namespace terrace
