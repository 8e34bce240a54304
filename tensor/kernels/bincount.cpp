#include "tensor/kernels/bincount.h"

namespace terrace {
namespace {

void add_to_bins(int64_t count, const int64_t* x, int64_t* bins) {
  for (int64_t i = 0; i < count; ++i) { ++bins[x[i]]; }
}

TERRACE_REGISTER(count_bins, add_to_bins);

}  // namespace
}  // namespace terrace
