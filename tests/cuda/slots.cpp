// Which kernels CUDA has. Where TERRACE_CPU=cuda-host asks for a kernel that CUDA does not have, the CPU's is taken
// silently; so every slot without an entry is listed here, with its reason.
#include <cxxabi.h>

#include <map>
#include <set>

#include "tensor/device/kernel.h"
#include "tests/support.h"

namespace terrace {
namespace {

const std::map<std::string, std::string>& without_an_entry() {
  static const std::map<std::string, std::string> reasons = {
      {"gemm", "a block of the CPU's products; CUDA's are the slot matmul"},
      {"linear", "a form of the CPU's products; CUDA's are the slot matmul"},
      {"linear (bf16 products)", "a form of the CPU's products; CUDA's are the slot matmul"},
      {"conv2d (products)", "loops around the products of the CPU's convolutions; CUDA's are cuDNN's"},
      {"conv2d (Winograd)", "an algorithm of the CPU's convolutions; CUDA's are cuDNN's"},
      {"bincount", "made of the host's copy of its indices, whose number of bins the host must know"},
      {"nearest_code", "the least of products made before; CUDA finds products and their least in one kernel"},
  };
  return reasons;
}

std::string description_of(const KernelSlot& slot) {
  int status = 0;
  char* text = abi::__cxa_demangle(slot.signature().name(), nullptr, nullptr, &status);
  const std::string result = cat(slot.name(), ": ", text);
  std::free(text);
  return result;
}

TEST(CudaSlots, EverySlotHasAnEntryOrAReason) {
  device_from_name("cuda-host");
  const Backend cpu = cpu_backend();
  std::set<std::string> of_cpu, missing;
  int with_both = 0;
  for (const KernelSlot* slot : kernel_slots()) {
    if (!slot->has(cpu)) {
      continue;  // a type that CUDA has beside the CPU's
    }
    of_cpu.insert(slot->name());
    if (slot->has(Backend::kCudaHost)) {
      ++with_both;
      continue;
    }
    missing.insert(slot->name());
    EXPECT_TRUE(without_an_entry().contains(slot->name()))
        << "CUDA has no " << description_of(*slot) << "; write the kernel, or give its reason here";
  }
  EXPECT_GT(with_both, 100);
  for (const auto& [name, reason] : without_an_entry()) {
    if (cpu == Backend::kAvx2 && !of_cpu.contains(name)) {
      continue;  // made of instructions that AVX2 has not
    }
    EXPECT_TRUE(missing.contains(name)) << "CUDA has every entry of " << name << ": take it out of the list";
  }
}

}  // namespace
}  // namespace terrace
