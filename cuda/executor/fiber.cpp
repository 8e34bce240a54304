#include "cuda/executor/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#include "tensor/base/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// terrace_switch_stack(void** save_stack_pointer, void* stack_pointer): pushes the registers that a callee must
// preserve on the current stack, and pops those of the other stack.
asm(R"(
.text
.type terrace_switch_stack, @function
terrace_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size terrace_switch_stack, .-terrace_switch_stack
)");
extern "C" void terrace_switch_stack(void** save, void* to);

namespace terrace::executor {
namespace {

#if defined(__SANITIZE_ADDRESS__)
void announce(void** fake_stack, const Context& to) {
  __sanitizer_start_switch_fiber(fake_stack, to.stack_bottom, to.stack_size);
}
void arrived(void* fake_stack, const void** bottom, size_t* size) {
  __sanitizer_finish_switch_fiber(fake_stack, bottom, size);
}
void forget_contents(void* bottom, size_t size) { __asan_unpoison_memory_region(bottom, size); }
#else
void announce(void**, const Context&) {}
void arrived(void*, const void**, size_t*) {}
void forget_contents(void*, size_t) {}
#endif

size_t page_size() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

}  // namespace

void switch_context(Context& from, Context& to) {
  announce(&from.fake_stack, to);
  terrace_switch_stack(&from.stack_pointer, to.stack_pointer);
  arrived(from.fake_stack, nullptr, nullptr);
}

void leave_context(Context& from, Context& to) {
  announce(nullptr, to);
  terrace_switch_stack(&from.stack_pointer, to.stack_pointer);
}

void begin_on_stack(Context& context, void* bottom, size_t size, void (*entry)()) {
  forget_contents(bottom, size);
  // From the top down: a null return address for entry, where unwinding ends; the address that the switch returns to,
  // which is entry; six registers. So entry begins with the stack pointer 8 below a multiple of 16, as after a call.
  auto* top = reinterpret_cast<uint64_t*>(static_cast<std::byte*>(bottom) + size);
  *--top = 0;
  *--top = reinterpret_cast<uint64_t>(entry);
  for (int i = 0; i < 6; ++i) { *--top = 0; }
  context = {top, bottom, size, nullptr};
}

void finish_entry(Context& self, Context& from) { arrived(self.fake_stack, &from.stack_bottom, &from.stack_size); }

Stacks::Stacks(int count) : count_(count) {
  void* memory = mmap(nullptr, kBytes * static_cast<size_t>(count), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) { throw Error(cat("executor: no memory for the stacks of ", count, " threads")); }
  memory_ = static_cast<std::byte*>(memory);
  for (int i = 0; i < count; ++i) { mprotect(memory_ + kBytes * static_cast<size_t>(i), page_size(), PROT_NONE); }
}

Stacks::~Stacks() { munmap(memory_, kBytes * static_cast<size_t>(count_)); }

void* Stacks::bottom(int i) const { return memory_ + kBytes * static_cast<size_t>(i) + page_size(); }

size_t Stacks::usable() { return kBytes - page_size(); }

}  // namespace terrace::executor
