#include "var/training/micro_batches.h"

namespace terrace {

std::vector<MicroBatch> micro_batches(int64_t batch, int64_t count, const Communicator* ranks) {
  const int64_t each = ranks == nullptr ? count : count / ranks->size();
  const int64_t first = ranks == nullptr ? 0 : ranks->rank() * each;
  std::vector<MicroBatch> own;
  for (int64_t i = first; i < first + each; ++i) { own.push_back({i, i * batch / count, (i + 1) * batch / count}); }
  return own;
}

}  // namespace terrace
