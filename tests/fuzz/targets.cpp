#include "tests/fuzz/targets.h"

#include <new>

#include "data/formats/open_tensor_file.h"
#include "data/formats/pickle.h"
#include "tensor/base/error.h"
#include "tests/data/formats/weight_files.h"
#include "var/config.h"
#include "var/vqvae_config.h"

namespace terrace {
namespace {

void read_tensors(std::span<const std::byte> input) { read_everything(open_tensor_bytes("input", input)); }

void read_program(std::span<const std::byte> input) { read_pickle(input, "input"); }

/// A configuration that was read must survive being written and read again.
void read_configs(std::span<const std::byte> input) {
  const std::string text(reinterpret_cast<const char*>(input.data()), input.size());
  try {
    const VarConfig config = var_config_from_text(text);
    if (var_config_from_text(to_text(config)) != config) { std::abort(); }
  } catch (const Error&) {}
  const VqvaeConfig config = vqvae_config_from_text(text);
  config.validate();
  if (vqvae_config_from_text(to_text(config)) != config) { std::abort(); }
}

}  // namespace

const std::vector<FuzzTarget>& fuzz_targets() {
  static const std::vector<FuzzTarget> targets = {{"pth", read_tensors},
                                                  {"pickle", read_program},
                                                  {"safetensors", read_tensors},
                                                  {"npz", read_tensors},
                                                  {"config", read_configs}};
  return targets;
}

void run_fuzz_target(const FuzzTarget& target, std::span<const std::byte> input) {
  try {
    target.run(input);
  } catch (const Error&) {}
}

}  // namespace terrace
