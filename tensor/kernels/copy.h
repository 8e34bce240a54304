// Copies: between layouts (bytes only) and between element types.
#pragma once

#include <tuple>

#include "tensor/base/dtype.h"
#include "tensor/base/loop_plan.h"
#include "tensor/device/kernel.h"

namespace terrace {

/// to[...] = from[...] over a plan whose operand 0 is `to` and 1 is `from`, elements of `bytes` (1, 2, 4 or 8).
inline constinit Kernel<void(void* to, const void* from, const LoopPlan<2>& plan, int64_t bytes)> strided_copy{
    "strided_copy"};

/// to[i] = the lowest `bytes` (1, 2, 4 or 8) bytes of `bits`.
inline constinit Kernel<void(void* to, uint64_t bits, int64_t count, int64_t bytes)> fill_elements{"fill_"};

/// to[i] = To(from[i]). Floating to integer truncates; to bool, any nonzero is true.
template <class From, class To>
inline constinit Kernel<void(const From* from, To* to, int64_t count)> convert{"convert"};

// --- For the files that fill these slots ---------------------------------------------------------------------------

/// f(word) with an unsigned integer of `bytes` bytes: a copy depends on the size of an element alone.
template <class F>
void visit_word(int64_t bytes, const F& f) {
  switch (bytes) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    default:
      return f(uint64_t{});
  }
}

template <class From, class F, class... To>
void for_each_conversion_from(const F& f, std::tuple<To...>) {
  (f.template operator()<From, To>(), ...);
}
template <class F, class... From>
void for_each_conversion(const F& f, std::tuple<From...> types) {
  (for_each_conversion_from<From>(f, types), ...);
}
/// f<From, To>() for every pair of element types.
template <class F>
void for_each_conversion(const F& f) {
  for_each_conversion(f, std::tuple<float, BFloat16, double, Float16, int64_t, int32_t, uint8_t, bool>{});
}

}  // namespace terrace
