// Work whose parts do not share anything: one thread a part.
#pragma once

#include <cstdint>
#include <functional>

namespace terrace {

/// Runs job(0) ... job(count - 1), up to threads() of them at once, each on one thread: neither loops nor library calls
/// in a job share their work, so that a job's result depends neither on threads() nor on the other jobs. After a job
/// has thrown no further one is begun, and the exception is thrown here.
void each_on_one_thread(int64_t count, const std::function<void(int64_t)>& job);

}  // namespace terrace
