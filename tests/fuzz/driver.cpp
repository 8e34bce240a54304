// libFuzzer's entry for the target that the build names (TERRACE_FUZZ_TARGET).
#include <cstdint>

#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const terrace::FuzzTarget& target = [] -> const terrace::FuzzTarget& {
    for (const terrace::FuzzTarget& each : terrace::fuzz_targets()) {
      if (each.name == TERRACE_FUZZ_TARGET) { return each; }
    }
    std::abort();
  }();
  terrace::run_fuzz_target(target, std::as_bytes(std::span(data, size)));
  return 0;
}
