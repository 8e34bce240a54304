// A fiber: a stack of its own and a place to go on from. The executor runs each thread of a CUDA block as one.
//
// The switch saves what the System V ABI asks a callee to keep and changes the stack pointer: a few nanoseconds,
// without a system call. AddressSanitizer is told of every switch, so that it checks the fibers' stacks as it does a
// thread's.
#pragma once

#include <cstddef>

namespace terrace::executor {

/// Where something that was switched away from goes on.
struct Context {
  void* stack_pointer = nullptr;
  const void* stack_bottom = nullptr;  // for AddressSanitizer
  size_t stack_size = 0;
  void* fake_stack = nullptr;
};

/// Goes on with `to`; returns when something switches to `from`.
void switch_context(Context& from, Context& to);
/// The same for the last time: `from` never goes on.
void leave_context(Context& from, Context& to);
/// Makes `context` begin with entry() on the given stack, whose former contents are void. entry must not return, and
/// must call finish_entry() first. No exception may leave it.
void begin_on_stack(Context& context, void* bottom, size_t size, void (*entry)());
void finish_entry(Context& self, Context& from);

/// Memory for many stacks, each above a page that faults when the stack overflows into it.
class Stacks {
 public:
  static constexpr size_t kBytes = size_t{256} << 10;
  explicit Stacks(int count);
  ~Stacks();
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;
  void* bottom(int i) const;
  static size_t usable();

 private:
  std::byte* memory_;
  int count_;
};

}  // namespace terrace::executor
