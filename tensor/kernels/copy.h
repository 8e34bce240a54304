// Copies: between layouts (bytes only) and between element types.
#pragma once

#include "tensor/dtype.h"
#include "tensor/kernel.h"
#include "tensor/loop_plan.h"

namespace terrace {

/// to[...] = from[...] over a plan whose operand 0 is `to` and 1 is `from`, elements of `bytes` (1, 2, 4 or 8).
inline constinit Kernel<void(void* to, const void* from, const LoopPlan<2>& plan, int64_t bytes)> strided_copy{
    "strided_copy"};

/// to[i] = the lowest `bytes` (1, 2, 4 or 8) bytes of `bits`.
inline constinit Kernel<void(void* to, uint64_t bits, int64_t count, int64_t bytes)> fill_elements{"fill_"};

/// to[i] = To(from[i]). Floating to integer truncates; to bool, any nonzero is true.
template <class From, class To>
inline constinit Kernel<void(const From* from, To* to, int64_t count)> convert{"convert"};

}  // namespace terrace
