#include "tensor/device/kernel.h"

namespace terrace {
namespace {

// An empty entry each, so that the sections exist where a build leaves a backend out.
TERRACE_REGISTRAR_(kAvx2) constinit Registrar no_avx2 = nullptr;
TERRACE_REGISTRAR_(kAvx512) constinit Registrar no_avx512 = nullptr;

constinit KernelSlot* first_slot = nullptr;

}  // namespace

void KernelSlot::note(Backend backend) {
  if (filled_ == 0) {
    next_ = first_slot;
    first_slot = this;
  }
  filled_ |= 1u << static_cast<int>(backend);
}

std::vector<const KernelSlot*> kernel_slots() {
  std::vector<const KernelSlot*> all;
  for (const KernelSlot* slot = first_slot; slot != nullptr; slot = slot->next_) { all.push_back(slot); }
  return all;
}

// The linker defines these: the bounds of each section.
#define TERRACE_SECTION_BOUNDS(backend)                                                                   \
  extern "C" __attribute__((visibility("hidden"))) Registrar TERRACE_CONCAT(__start_terrace_, backend)[]; \
  extern "C" __attribute__((visibility("hidden"))) Registrar TERRACE_CONCAT(__stop_terrace_, backend)[]
TERRACE_SECTION_BOUNDS(kAvx2);
TERRACE_SECTION_BOUNDS(kAvx512);
TERRACE_SECTION_BOUNDS(kEveryCpu);

void fill_kernel_table(Backend backend) {
  const auto fill_by = [backend](Registrar* begin, const Registrar* end) {
    for (Registrar* r = begin; r != end; ++r) {
      if (*r != nullptr) { (*r)(backend); }
    }
  };
  fill_by(__start_terrace_kEveryCpu, __stop_terrace_kEveryCpu);
  if (backend == Backend::kAvx512) {
    fill_by(__start_terrace_kAvx512, __stop_terrace_kAvx512);
  } else {
    fill_by(__start_terrace_kAvx2, __stop_terrace_kAvx2);
  }
}

}  // namespace terrace
