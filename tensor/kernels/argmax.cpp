#include "tensor/kernels/argmax.h"

#include "tensor/base/dtype.h"
#include "tensor/kernels/columns.h"

namespace terrace {
namespace {

template <class T>
void find_extreme(int64_t outer, int64_t extent, int64_t inner, Extreme extreme, const T* x, int64_t* index) {
  for_columns(outer, extent, inner, [=](int64_t o, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T* column = x + o * extent * inner + i;
      int64_t best = 0;
      for (int64_t e = 1; e < extent; ++e) {
        if (beats(column[e * inner], column[best * inner], extreme)) { best = e; }
      }
      index[o * inner + i] = best;
    }
  });
}

TERRACE_REGISTER_FLOATS(arg_extreme, find_extreme);
TERRACE_REGISTER(arg_extreme<int64_t>, find_extreme<int64_t>);

}  // namespace
}  // namespace terrace
