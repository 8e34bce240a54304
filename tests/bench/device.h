// What benchmarks on any device share: waiting for its work, its memory, and results for other programs.
#pragma once

#include <string>

#include "data/files/atomic_file.h"
#include "data/files/json.h"
#include "experiments/cli/run_record.h"
#include "experiments/cli/timing.h"
#include "tensor/device/allocator.h"
#include "tensor/device/device_memory.h"

namespace terrace {

/// Seconds until the device has done what f asked of it.
template <class F>
double seconds_on(Device device, const F& f) {
  return seconds_of([&] {
    f();
    device_memory(device).synchronize();
  });
}

/// Most memory so far: of the process on the CPU, of tensors on another device.
inline double peak_bytes(Device device) {
  return static_cast<double>(device.is_cpu() ? peak_resident_bytes() : memory_stats(device).peak);
}

/// Writes results where the option --json names a file.
inline void write_results(const std::string& path, const Json& results) {
  if (!path.empty()) { write_file(path, results.dump(2) + "\n"); }
}

}  // namespace terrace
