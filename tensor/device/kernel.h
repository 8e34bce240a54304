// The kernel table. Each kernel is declared once, in tensor/kernels/NAME.h, as a slot with one entry per backend:
//
//   template <class T>
//   inline constinit Kernel<void(const T* x, T* y, int64_t rows, int64_t cols)> softmax_forward{"softmax"};
//
// The file with the bodies says which functions belong into the entries of its backend; no central list exists:
//
//   TERRACE_REGISTER_FLOATS(softmax_forward, forward);   // forward<T> for f32, bf16 and f64
//   TERRACE_REGISTER(gradient_norm, norm_of);            // one entry: of a slot without a type, or of another type
//
// A registration leaves the address of a function that fills the entry in a section of the object: of the files of
// tensor/kernels/, which are compiled once for each instruction set, in a section named after the backend; of the files
// of tensor/gemm/ and tensor/convolution/, which are compiled once for any x86-64, in one whose functions fill the
// column of every CPU backend. cpu_backend() calls those of the instruction sets that this processor has. Loading the
// library runs no code of the objects of tensor/kernels/, so AVX-512 instructions in them (which the compiler may use
// anywhere) are met by processors with AVX-512 only. A call names the device: softmax_forward<float>(x.device(),
// x.data<float>(), ...). An entry nobody filled is a DeviceError that names the op.
#pragma once

#include <typeinfo>
#include <vector>

#include "tensor/base/error.h"
#include "tensor/device/device.h"

namespace terrace {

/// Whether a kernel replaces what its output holds or adds to it.
enum class Write : uint8_t { kOverwrite, kAccumulate };

/// What a slot is beside its functions: for listings of what a backend has.
class KernelSlot {
 public:
  KernelSlot(const KernelSlot&) = delete;
  KernelSlot& operator=(const KernelSlot&) = delete;
  const char* name() const { return name_; }
  const std::type_info& signature() const { return *signature_; }  // tells the slots of one name apart
  bool has(Backend backend) const { return (filled_ >> static_cast<int>(backend) & 1) != 0; }

 protected:
  constexpr KernelSlot(const char* name, const std::type_info& signature) : name_(name), signature_(&signature) {}
  ~KernelSlot() = default;
  void note(Backend backend);

 private:
  friend std::vector<const KernelSlot*> kernel_slots();
  const char* name_;
  const std::type_info* signature_;
  unsigned filled_ = 0;  // a bit for each backend
  KernelSlot* next_ = nullptr;
};

/// Every slot that some loaded backend has an entry of.
std::vector<const KernelSlot*> kernel_slots();

template <class Signature>
class Kernel;

template <class Result, class... Args>
class Kernel<Result(Args...)> : public KernelSlot {
 public:
  using Function = Result (*)(Args...);
  constexpr explicit Kernel(const char* name) : KernelSlot(name, typeid(Result(Args...))) {}

  void set(Backend backend, Function f) {
    entries_[static_cast<int>(backend)] = f;
    note(backend);
  }

  Result operator()(Device device, Args... args) const {
    const Backend backend = backend_of(device);
    Function f = entries_[static_cast<int>(backend)];
    if (f == nullptr && device.is_cpu()) { f = entries_[static_cast<int>(cpu_backend())]; }
    if (f == nullptr) { throw DeviceError(cat(name(), ": no kernel for ", device, " (", name_of(backend), ")")); }
    return f(args...);
  }

 private:
  Function entries_[kBackends] = {};
};

/// Fills an entry of the column `backend`.
using Registrar = void (*)(Backend backend);

/// Calls every registrar of a CPU backend's column. For cpu_backend() alone.
void fill_kernel_table(Backend backend);

#define TERRACE_CONCAT_(a, b) a##b
#define TERRACE_CONCAT(a, b) TERRACE_CONCAT_(a, b)
#define TERRACE_TEXT_(a) #a
#define TERRACE_TEXT(a) TERRACE_TEXT_(a)
// -DTERRACE_BACKEND names the backend that a file is compiled for; without it, it is compiled for every CPU backend,
// and its registrars are called once for each column.
#ifdef TERRACE_BACKEND
#define TERRACE_COLUMN ::terrace::Backend::TERRACE_BACKEND
#define TERRACE_SECTION_ TERRACE_BACKEND
#else
#define TERRACE_COLUMN backend
#define TERRACE_SECTION_ kEveryCpu
#endif
#define TERRACE_REGISTRAR_(backend) __attribute__((section("terrace_" TERRACE_TEXT(backend)), used))
// A backend that is a library of its own (-DTERRACE_LOADED_BACKEND) runs its registrars when it is loaded.
#ifdef TERRACE_LOADED_BACKEND
#define TERRACE_REGISTER_(id, ...) \
  [[maybe_unused]] static const bool TERRACE_CONCAT(registered_, id) = ((__VA_ARGS__), true)
#else
#define TERRACE_REGISTER_(id, ...)                                                                        \
  static void TERRACE_CONCAT(register_, id)([[maybe_unused]] ::terrace::Backend backend) { __VA_ARGS__; } \
  TERRACE_REGISTRAR_(TERRACE_SECTION_)                                                                    \
  static constinit ::terrace::Registrar TERRACE_CONCAT(registrar_, id) = &TERRACE_CONCAT(register_, id)
#endif

/// Fills a slot's entry of the backend that this file is compiled for, or of every CPU backend:
/// TERRACE_REGISTER(where_select<int64_t>, select<int64_t>); The build passes -DTERRACE_BACKEND=kAvx2 or kAvx512 to the
/// files of tensor/kernels/, kCuda or kCudaHost to those of cuda/.
#define TERRACE_REGISTER(slot, ...) TERRACE_REGISTER_(__COUNTER__, ::terrace::slot.set(TERRACE_COLUMN, &__VA_ARGS__))
/// Fills the entries of a slot's three floating types with those of one function template.
#define TERRACE_REGISTER_FLOATS(slot, function)                               \
  TERRACE_REGISTER(slot<float>, function<float>);                             \
  TERRACE_REGISTER(slot<::terrace::BFloat16>, function<::terrace::BFloat16>); \
  TERRACE_REGISTER(slot<double>, function<double>)
/// Fills what a list of types or formulas expands to: TERRACE_REGISTER_BY(for_each_conversion(RegisterConversion{}))
/// evaluates the expression, which calls set() with the column TERRACE_COLUMN.
#define TERRACE_REGISTER_BY(...) TERRACE_REGISTER_(__COUNTER__, __VA_ARGS__)

}  // namespace terrace
