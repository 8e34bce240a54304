// Independent pieces of work, each computed by one thread.
#pragma once

#include <cstdint>
#include <functional>

namespace terrace {

/// Calls body(0) ... body(count - 1), up to threads() of them at once, each on one thread: loops and library calls
/// inside a call start no further threads, so that its result depends neither on threads() nor on the other calls.
/// After a call has thrown, no further one begins, and the exception is rethrown here.
void each_on_one_thread(int64_t count, const std::function<void(int64_t)>& body);

}  // namespace terrace
