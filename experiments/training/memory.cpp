#include "experiments/training/memory.h"

#include <algorithm>
#include <cmath>

#include "experiments/cli/memory_bounds.h"
#include "tensor/base/names.h"
#include "var/step_memory.h"

namespace terrace {
namespace {

/// `images` are computed at once by each of `processes`.
void check(const StepMemory& memory, double images, double processes, const std::string& model,
           const std::string& batch, const std::string& remedy) {
  check_memory(memory.of(1), cat("a step of one image with ", model), "model");
  if (processes > 1) {
    check_memory(processes * memory.of(1), cat("--ranks ", processes, ", a model each,"), "--ranks");
  }
  check_memory(processes * memory.of(images), batch, remedy);
}

}  // namespace

void check_step_memory(const VqvaeConfig& config, int64_t batch, Device device, const std::string& option) {
  config.validate();
  if (!device.is_cpu()) { return; }
  check(step_memory(config), static_cast<double>(batch), 1,
        cat("--ch ", config.ch, ", --vocab ", config.vocab_size, " and images of ", config.image_size(), "x",
            config.image_size()),
        cat(option, " ", batch), option);
}

void check_step_memory(const VarConfig& config, const VarTrainOptions& options, int64_t ranks, Device device) {
  config.validate();
  if (!device.is_cpu()) { return; }
  const StepMemory memory =
      step_memory(config, options.dtype == DType::kBF16 ? 2 : 4, options.recompute != Recompute::kNothing);
  const auto batch = static_cast<double>(options.batch);
  const auto parts = static_cast<double>(std::clamp<int64_t>(options.accumulate, 1, options.batch));
  const std::string split = options.accumulate > 1 ? cat(" in ", options.accumulate, " micro-batches") : "";
  check(memory, std::max(1.0, std::floor(batch / parts)), static_cast<double>(ranks),
        cat("--depth ", config.depth, ", --embed-dim ", config.embed_dim, " and ", config.length(), " tokens"),
        cat("--batch ", options.batch, split), "--batch or a larger --accumulate");
}

}  // namespace terrace
