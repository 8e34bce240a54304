// Results made ahead by threads and given out in order.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tensor/base/error.h"

namespace terrace {

/// next() gives make(first), make(first + 1), ... whatever the number of threads and their timing; make must depend on
/// its argument alone. At most `ahead` results wait beyond the last one taken. What make() throws for item i comes out
/// of the next() that would have given item i, and of every later one. With no workers next() calls make() itself.
template <class T>
class Prefetcher {
 public:
  Prefetcher(std::function<T(int64_t)> make, int64_t first, int workers, int64_t ahead,
             int64_t last = std::numeric_limits<int64_t>::max())
      : make_(std::move(make)), started_(first), taken_(first), last_(last), ahead_(ahead < 1 ? 1 : ahead) {
    for (int i = 0; i < workers; ++i) {
      threads_.emplace_back([this] { work(); });
    }
  }

  ~Prefetcher() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    room_.notify_all();
    for (std::thread& thread : threads_) { thread.join(); }
  }
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  T next() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (taken_ >= last_) { throw IndexError("Prefetcher: nothing is left"); }
    if (threads_.empty()) {
      T value = make_(taken_);
      ++taken_;
      return value;
    }
    ready_.wait(lock, [this] { return results_.count(taken_) > 0; });
    auto found = results_.find(taken_);
    if (found->second.error) { std::rethrow_exception(found->second.error); }
    T value = std::move(found->second.value);
    results_.erase(found);
    ++taken_;
    lock.unlock();
    room_.notify_one();
    return value;
  }

 private:
  struct Result {
    T value{};
    std::exception_ptr error;
  };

  void work() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      room_.wait(lock, [this] { return stopping_ || started_ >= last_ || started_ < taken_ + ahead_; });
      if (stopping_ || started_ >= last_) { return; }
      const int64_t item = started_++;
      lock.unlock();
      Result result;
      try {
        result.value = make_(item);
      } catch (...) { result.error = std::current_exception(); }
      lock.lock();
      // Later items would never be taken.
      if (result.error) { last_ = std::min(last_, started_); }
      results_.emplace(item, std::move(result));
      ready_.notify_all();
    }
  }

  std::function<T(int64_t)> make_;
  std::mutex mutex_;
  std::condition_variable room_, ready_;
  std::map<int64_t, Result> results_;
  int64_t started_, taken_, last_;
  const int64_t ahead_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace terrace
