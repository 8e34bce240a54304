#include "tensor/kernels/gather.h"

#include "tensor/base/dtype.h"
#include "tensor/kernels/columns.h"

namespace terrace {
namespace {

template <class T>
void gather(int64_t outer, int64_t extent, int64_t inner, int64_t count, const T* x, const int64_t* index, T* y) {
  for_columns(outer, count, inner, [=](int64_t o, int64_t begin, int64_t end) {
    for (int64_t k = 0; k < count; ++k) {
      const int64_t row = (o * count + k) * inner;
      for (int64_t i = begin; i < end; ++i) { y[row + i] = x[(o * extent + index[row + i]) * inner + i]; }
    }
  });
}

/// Each column belongs to one thread, which adds in the order of the indices.
template <class T>
void scatter_add(int64_t outer, int64_t extent, int64_t inner, int64_t count, const int64_t* index, const T* dy,
                 T* dx) {
  using A = Accumulator<T>;
  for_columns(outer, extent + count, inner, [=](int64_t o, int64_t begin, int64_t end) {
    for (int64_t e = 0; e < extent; ++e) {
      for (int64_t i = begin; i < end; ++i) { dx[(o * extent + e) * inner + i] = T(); }
    }
    for (int64_t k = 0; k < count; ++k) {
      const int64_t row = (o * count + k) * inner;
      for (int64_t i = begin; i < end; ++i) {
        T& target = dx[(o * extent + index[row + i]) * inner + i];
        target = static_cast<T>(static_cast<A>(target) + static_cast<A>(dy[row + i]));
      }
    }
  });
}

TERRACE_REGISTER_FLOATS(gather_forward, gather);
TERRACE_REGISTER_FLOATS(gather_backward, scatter_add);

}  // namespace
}  // namespace terrace
