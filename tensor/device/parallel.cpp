#include "tensor/device/parallel.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>

#include "tensor/device/device.h"

namespace terrace {

void each_on_one_thread(int64_t count, const std::function<void(int64_t)>& body) {
  if (count <= 0) { return; }
  std::exception_ptr error;
  std::mutex guard;
  std::atomic<bool> failed = false;
#pragma omp parallel for schedule(dynamic, 1) num_threads(static_cast<int>(std::min<int64_t>(threads(), count)))
  for (int64_t i = 0; i < count; ++i) {
    omp_set_num_threads(1);  // for this thread, until the region ends
    if (failed) { continue; }
    try {
      body(i);
    } catch (...) {
      const std::lock_guard lock(guard);
      if (!error) { error = std::current_exception(); }
      failed = true;
    }
  }
  if (error) { std::rethrow_exception(error); }
}

}  // namespace terrace
