#include "tensor/device/interruption.h"

#include <utility>

namespace terrace {
namespace {

thread_local void (*check_of_thread)() = nullptr;

}  // namespace

void set_interruption_check(void (*check)()) { check_of_thread = check; }

void interruption_point() {
  if (check_of_thread != nullptr) { check_of_thread(); }
}

UninterruptedScope::UninterruptedScope() : before_(std::exchange(check_of_thread, nullptr)) {}

UninterruptedScope::~UninterruptedScope() { check_of_thread = before_; }

}  // namespace terrace
