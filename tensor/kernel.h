// The kernel table. Each kernel is declared once, in tensor/kernels/NAME.h, as a slot with one entry per backend:
//
//   template <class T>
//   inline constinit Kernel<void(const T* x, T* y, int64_t rows, int64_t cols)> softmax_forward{"softmax"};
//
// The objects of a backend fill their entry when they are loaded (TERRACE_REGISTER in the .cpp or .cu); no central
// list exists. A call names the device: softmax_forward<float>(x.device(), x.data<float>(), ...). An entry nobody
// filled is a DeviceError that names the op.
#pragma once

#include "tensor/device.h"
#include "tensor/error.h"

namespace terrace {

/// Whether a kernel replaces what its output holds or adds to it.
enum class Write : uint8_t { kOverwrite, kAccumulate };

template <class Signature>
class Kernel;

template <class Result, class... Args>
class Kernel<Result(Args...)> {
 public:
  using Function = Result (*)(Args...);
  constexpr explicit Kernel(const char* name) : name_(name) {}
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  bool set(Backend backend, Function f) {
    entries_[static_cast<int>(backend)] = f;
    return true;
  }
  bool has(Backend backend) const { return entries_[static_cast<int>(backend)] != nullptr; }

  Result operator()(Device device, Args... args) const {
    const Backend backend = device.is_cpu() ? cpu_backend() : Backend::kCuda;
    const Function f = entries_[static_cast<int>(backend)];
    if (f == nullptr) throw DeviceError(cat(name_, ": no kernel for ", device, " (", name_of(backend), ")"));
    return f(args...);
  }

 private:
  const char* name_;
  Function entries_[kBackends] = {};
};

#define TERRACE_CONCAT_(a, b) a##b
#define TERRACE_CONCAT(a, b) TERRACE_CONCAT_(a, b)

/// Fills this translation unit's backend entry of a slot: TERRACE_REGISTER(softmax_forward<float>, forward<float>);
/// The build passes -DTERRACE_BACKEND=kAvx2 or kAvx512 to the files of tensor/kernels/.
#define TERRACE_REGISTER(slot, ...)                                             \
  [[maybe_unused]] static const bool TERRACE_CONCAT(registered_, __COUNTER__) = \
      ::terrace::slot.set(::terrace::Backend::TERRACE_BACKEND, &__VA_ARGS__)

}  // namespace terrace
