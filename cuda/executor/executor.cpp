#include "cuda/executor/executor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "cuda/executor/fiber.h"
#include "cuda/executor/guarded_memory.h"
#include "cuda/executor/shared_memory.h"

namespace terrace::executor {
namespace {

constexpr unsigned kMaxThreads = 1024, kWarp = 32;

uint64_t initial_seed() {
  const char* seed = std::getenv("TERRACE_SCHEDULE");
  return seed == nullptr ? 0 : std::strtoull(seed, nullptr, 10);
}
thread_local uint64_t current_seed = initial_seed();

/// SplitMix64 (Steele, Lea, Flood 2014).
class RandomNumbers {
 public:
  explicit RandomNumbers(uint64_t seed) : state_(seed) {}
  uint64_t below(uint64_t bound) {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % bound;
  }

 private:
  uint64_t state_;
};

enum class State : uint8_t { kReady, kAtBarrier, kInCollective, kExited };

struct PendingCopy {
  void* to;
  const void* from;  // null: zeros
  size_t bytes;
};

struct Thread {
  Context context;
  ThreadPosition position;
  int index = 0;
  State state = State::kReady;
  std::source_location at;
  bool predicate = false;
  // In a collective:
  unsigned mask = 0;
  Collective collective = nullptr;
  const char* collective_name = "";
  LaneArguments arguments;
  // Asynchronous copies that have not arrived:
  std::vector<PendingCopy> copies;               // not yet committed
  std::vector<std::vector<PendingCopy>> groups;  // committed, the oldest first
};

/// Runs the blocks of a grid, one at a time.
class GridRunner {
 public:
  explicit GridRunner(uint64_t seed) : seed_(seed), random_(seed) {}

  void run_grid(const char* name, dim3 blocks, dim3 threads, size_t shared_bytes, const std::function<void()>& body);
  Thread& self() { return *self_; }
  int barrier(bool predicate, std::source_location at);
  void collective(unsigned mask, Collective f, const void* operand, void* result, const char* name,
                  std::source_location at);
  void interleave();
  void copy(const PendingCopy& copy);
  void* shared(const void* key, size_t bytes, size_t alignment);
  void* dynamic();
  [[noreturn]] void thread_main();

 private:
  void run_block(uint3 block);
  void start(int i, uint3 block);
  Thread* next_ready();
  void make_ready(Thread& t) {
    t.state = State::kReady;
    ready_.push_back(&t);
  }
  void pause() { switch_context(self_->context, scheduler_); }
  void release_barrier();
  bool all_lanes_wait(const Thread& t);
  [[noreturn]] void report_stuck();
  [[noreturn]] void fail(const std::string& what);
  std::string where(const Thread& t) const;

  const uint64_t seed_;
  RandomNumbers random_;
  Context scheduler_;
  std::vector<Thread> threads_;
  std::vector<Thread*> ready_;  // from head_ on, in the order in which they became ready
  size_t head_ = 0;
  Thread* self_ = nullptr;  // the thread that runs
  int count_ = 0;           // threads of the block; of these:
  int exited_ = 0, at_barrier_ = 0;
  int barrier_votes_ = 0;  // whose predicate was true at the barrier that was released last
  const char* name_ = "";
  dim3 grid_dim_, block_dim_;
  uint3 block_{};
  size_t dynamic_bytes_ = 0;
  const std::function<void()>* body_ = nullptr;
  SharedMemory shared_;
  std::exception_ptr error_;
};

thread_local GridRunner* runner = nullptr;

void enter_thread() { runner->thread_main(); }

Stacks& stacks() {
  static thread_local std::unique_ptr<Stacks> instance = std::make_unique<Stacks>(static_cast<int>(kMaxThreads));
  return *instance;
}

const char* file_name(const std::source_location& at) {
  const char* slash = std::strrchr(at.file_name(), '/');
  return slash == nullptr ? at.file_name() : slash + 1;
}

std::string GridRunner::where(const Thread& t) const {
  switch (t.state) {
    case State::kReady:
      return "runs";
    case State::kExited:
      return "has left the kernel";
    case State::kAtBarrier:
      return cat("waits at the barrier in ", file_name(t.at), ":", t.at.line());
    case State::kInCollective:
      return cat("waits in ", t.collective_name, " in ", file_name(t.at), ":", t.at.line());
  }
  return "";
}

void GridRunner::fail(const std::string& what) {
  throw KernelError(cat(name_, ": ", what, "; block (", block_.x, ",", block_.y, ",", block_.z, ") of ", count_,
                        " threads, schedule ", seed_));
}

void GridRunner::report_stuck() {
  // Names the first thread that waits, and the first that is elsewhere.
  const auto waits = [](const Thread& t) { return t.state != State::kExited; };
  const auto first = std::find_if(threads_.begin(), threads_.begin() + count_, waits);
  const std::string says = where(*first);
  const auto other =
      std::find_if(threads_.begin(), threads_.begin() + count_, [&](const Thread& t) { return where(t) != says; });
  std::string text = cat("thread ", first->index, " ", says);
  if (first->state == State::kInCollective) { text += cat(" for the lanes ", std::hex, "0x", first->mask, std::dec); }
  fail(other == threads_.begin() + count_ ? text : cat(text, ", thread ", other->index, " ", where(*other)));
}

void GridRunner::thread_main() {
  finish_entry(self_->context, scheduler_);
  try {
    (*body_)();
    if (!self_->copies.empty() || !self_->groups.empty()) {
      fail("a thread leaves before its asynchronous copies arrived");
    }
  } catch (...) { error_ = std::current_exception(); }
  self_->state = State::kExited;
  ++exited_;
  leave_context(self_->context, scheduler_);
  std::abort();  // unreachable: a thread that has left the kernel is never switched to
}

void GridRunner::start(int i, uint3 block) {
  Thread& t = threads_[static_cast<size_t>(i)];
  const auto u = static_cast<unsigned>(i);
  t.position = {{u % block_dim_.x, u / block_dim_.x % block_dim_.y, u / block_dim_.x / block_dim_.y},
                block,
                block_dim_,
                grid_dim_};
  t.index = i;
  t.copies.clear();
  t.groups.clear();
  begin_on_stack(t.context, stacks().bottom(i), Stacks::usable(), enter_thread);
  make_ready(t);
}

Thread* GridRunner::next_ready() {
  if (head_ == ready_.size()) { return nullptr; }
  if (seed_ != 0) { std::swap(ready_[head_], ready_[head_ + random_.below(ready_.size() - head_)]); }
  Thread* t = ready_[head_++];
  if (head_ == ready_.size() || head_ > 4096) {
    ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
  return t;
}

void GridRunner::run_block(uint3 block) {
  block_ = block;
  exited_ = at_barrier_ = barrier_votes_ = 0;
  head_ = 0;
  ready_.clear();
  for (int i = 0; i < count_; ++i) { start(i, block); }
  while (exited_ < count_) {
    self_ = next_ready();
    if (self_ == nullptr) { report_stuck(); }
    switch_context(scheduler_, self_->context);
    if (error_) { std::rethrow_exception(std::exchange(error_, nullptr)); }
  }
  shared_.release();
}

void GridRunner::run_grid(const char* name, dim3 blocks, dim3 threads, size_t shared_bytes,
                          const std::function<void()>& body) {
  name_ = name;
  grid_dim_ = blocks;
  block_dim_ = threads;
  body_ = &body;
  dynamic_bytes_ = shared_bytes;
  count_ = static_cast<int>(threads.x * threads.y * threads.z);
  if (count_ < 1 || threads.x > kMaxThreads || threads.y > kMaxThreads || threads.z > 64 ||
      static_cast<unsigned>(count_) > kMaxThreads || blocks.y > 65535 || blocks.z > 65535 || blocks.x > 0x7fffffffu) {
    fail(cat("cannot launch (", blocks.x, ",", blocks.y, ",", blocks.z, ") blocks of (", threads.x, ",", threads.y, ",",
             threads.z, ") threads"));
  }
  if (shared_bytes > kMaxSharedBytes) { fail(cat("asks for ", shared_bytes, " bytes of shared memory")); }
  threads_.resize(static_cast<size_t>(count_));
  const uint64_t total = uint64_t{blocks.x} * blocks.y * blocks.z;
  // Steps of a stride that has no factor in common with the number of blocks meet every block once.
  uint64_t at = 0, stride = 1;
  if (seed_ != 0 && total > 1) {
    at = random_.below(total);
    do { stride = 1 + random_.below(total - 1); } while (std::gcd(stride, total) != 1);
  }
  for (uint64_t i = 0; i < total; ++i, at = (at + stride) % total) {
    run_block({static_cast<unsigned>(at % blocks.x), static_cast<unsigned>(at / blocks.x % blocks.y),
               static_cast<unsigned>(at / blocks.x / blocks.y)});
  }
}

void GridRunner::release_barrier() {
  const Thread& first = threads_[0];
  for (int i = 0; i < count_; ++i) {
    const Thread& t = threads_[static_cast<size_t>(i)];
    if (t.at.line() != first.at.line() || std::strcmp(t.at.file_name(), first.at.file_name()) != 0) {
      fail(cat("divergent barrier: thread 0 ", where(first), ", thread ", i, " ", where(t)));
    }
  }
  at_barrier_ = 0;
  barrier_votes_ = 0;
  for (int i = 0; i < count_; ++i) { barrier_votes_ += threads_[static_cast<size_t>(i)].predicate; }
  for (int i = 0; i < count_; ++i) { make_ready(threads_[static_cast<size_t>(i)]); }
}

int GridRunner::barrier(bool predicate, std::source_location at) {
  self_->state = State::kAtBarrier;
  self_->at = at;
  self_->predicate = predicate;
  if (++at_barrier_ == count_) { release_barrier(); }
  Thread& me = *self_;
  switch_context(me.context, scheduler_);
  return barrier_votes_;
}

bool GridRunner::all_lanes_wait(const Thread& t) {
  const int base = t.index / static_cast<int>(kWarp) * static_cast<int>(kWarp);
  for (int lane = 0; lane < static_cast<int>(kWarp); ++lane) {
    if (!(t.mask >> lane & 1)) { continue; }
    if (base + lane >= count_) {
      fail(cat(t.collective_name, " in ", file_name(t.at), ":", t.at.line(), " names lane ", lane,
               ", which this block does not have"));
    }
    const Thread& other = threads_[static_cast<size_t>(base + lane)];
    if (other.state != State::kInCollective) { return false; }
    if (other.mask != t.mask || other.collective != t.collective) {
      fail(cat("divergent warp: thread ", t.index, " ", where(t), ", thread ", other.index, " ", where(other)));
    }
  }
  return true;
}

void GridRunner::collective(unsigned mask, Collective f, const void* operand, void* result, const char* name,
                            std::source_location at) {
  Thread& me = *self_;
  me.state = State::kInCollective;
  me.at = at;
  me.mask = mask;
  me.collective = f;
  me.collective_name = name;
  me.arguments = {operand, result};
  const int base = me.index / static_cast<int>(kWarp) * static_cast<int>(kWarp);
  if (!(mask >> (me.index - base) & 1)) { fail(cat("thread ", me.index, " ", where(me), " whose mask leaves it out")); }
  if (all_lanes_wait(me)) {
    LaneArguments lanes[kWarp];
    for (int lane = 0; lane < static_cast<int>(kWarp); ++lane) {
      if (mask >> lane & 1) { lanes[lane] = threads_[static_cast<size_t>(base + lane)].arguments; }
    }
    f(lanes, mask);
    for (int lane = 0; lane < static_cast<int>(kWarp); ++lane) {
      if (mask >> lane & 1) { make_ready(threads_[static_cast<size_t>(base + lane)]); }
    }
  }
  switch_context(me.context, scheduler_);
}

void GridRunner::interleave() {
  if (seed_ == 0 || random_.below(4) != 0) { return; }
  make_ready(*self_);
  pause();
}

void arrive(const PendingCopy& c) {
  if (c.from == nullptr) {
    std::memset(c.to, 0, c.bytes);
  } else {
    std::memcpy(c.to, c.from, c.bytes);
  }
}

void GridRunner::copy(const PendingCopy& copy) {
  if (seed_ != 0 && random_.below(2) == 0) {
    arrive(copy);
  } else {
    self_->copies.push_back(copy);
  }
}

void* GridRunner::shared(const void* key, size_t bytes, size_t alignment) {
  void* memory = shared_.variable(key, bytes, alignment);
  if (memory == nullptr) { fail(cat("needs more than ", kMaxSharedBytes, " bytes of shared memory")); }
  return memory;
}

void* GridRunner::dynamic() { return shared(this, dynamic_bytes_, 1024); }

}  // namespace

Schedule::Schedule(uint64_t seed) : previous_(current_seed) { current_seed = seed; }
Schedule::~Schedule() { current_seed = previous_; }

void run(const char* name, dim3 blocks, dim3 threads, size_t shared_bytes, const std::function<void()>& body) {
  if (runner != nullptr) { throw KernelError(cat(name, ": a kernel was launched from within a kernel")); }
  GridRunner own(current_seed);
  runner = &own;
  const MemoryOpen open;
  struct Restore {
    ~Restore() { runner = nullptr; }
  } restore;
  own.run_grid(name, blocks, threads, shared_bytes, body);
}

const ThreadPosition& position() { return runner->self().position; }
int lane() { return runner->self().index % static_cast<int>(kWarp); }
int block_barrier(bool predicate, std::source_location at) { return runner->barrier(predicate, at); }
void warp_collective(unsigned mask, Collective collective, const void* operand, void* result, const char* name,
                     std::source_location at) {
  runner->collective(mask, collective, operand, result, name, at);
}
void interleave() { runner->interleave(); }
void* shared_variable(const void* key, size_t bytes, size_t alignment) { return runner->shared(key, bytes, alignment); }
void* dynamic_shared() { return runner->dynamic(); }

void copy_later(void* to, const void* from, size_t bytes) { runner->copy({to, from, bytes}); }

void commit_copies() {
  Thread& t = runner->self();
  t.groups.push_back(std::exchange(t.copies, {}));
}

void wait_for_copies(int groups_left) {
  Thread& t = runner->self();
  while (static_cast<int>(t.groups.size()) > groups_left) {
    for (const PendingCopy& c : t.groups.front()) { arrive(c); }
    t.groups.erase(t.groups.begin());
  }
}

}  // namespace terrace::executor
