#include "tensor/kernels/where.h"

#include "tensor/base/dtype.h"
#include "tensor/device/parallel_size.h"

namespace terrace {
namespace {

template <class T>
void select(int64_t count, const uint8_t* condition, const T* a, const T* b, T* y) {
#pragma omp parallel for schedule(static) if (count > kMinParallelElements)
  for (int64_t i = 0; i < count; ++i) {
    const T* chosen = condition[i] != 0 ? a : b;
    y[i] = chosen == nullptr ? T() : chosen[i];
  }
}

TERRACE_REGISTER_FLOATS(where_select, select);
TERRACE_REGISTER(where_select<int64_t>, select<int64_t>);

}  // namespace
}  // namespace terrace
