// A fiber: a stack of its own, and the registers with which it continues. The executor runs each thread of a CUDA block
// as one.
//
// The switch saves what the System V ABI asks a callee to keep and changes the stack pointer: a few nanoseconds,
// without a system call. AddressSanitizer is told of every switch, so that it checks the fibers' stacks as it does a
// thread's.
#pragma once

#include <cstddef>

namespace terrace::executor {

/// Where a fiber, or the thread that runs fibers, continues when it is switched to.
struct Context {
  void* stack_pointer = nullptr;
  const void* stack_bottom = nullptr;  // for AddressSanitizer
  size_t stack_size = 0;
  void* fake_stack = nullptr;
};

/// Continues `to`; returns when something switches back to `from`.
void switch_context(Context& from, Context& to);
/// The same at the end of `from`, which is never switched to again.
void leave_context(Context& from, Context& to);
/// Makes `context` begin with entry() on the given stack, whose contents are lost. entry must call finish_entry()
/// first, must not return, and must let no exception out.
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
