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

void fill_kernel_table(Backend backend) {
  const bool wide = backend == Backend::kAvx512;
  Registrar* const end = wide ? __stop_terrace_kAvx512 : __stop_terrace_kAvx2;
  for (Registrar* r = wide ? __start_terrace_kAvx512 : __start_terrace_kAvx2; r != end; ++r) {
    if (*r != nullptr) { (*r)(); }
  }
}

}  // namespace terrace
