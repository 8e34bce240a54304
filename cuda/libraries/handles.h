// Handles of NVIDIA's libraries that release themselves; statuses as DeviceErrors.
#pragma once

#include <cublasLt.h>
#include <cudnn.h>

#include <utility>

namespace terrace::cuda {

void check(cublasStatus_t status, const char* statement);
void check(cudnnStatus_t status, const char* statement);

/// A descriptor of one of the libraries, empty until create(x.address()), that releases itself.
template <class Handle, auto destroy>
class Owned {
 public:
  Owned() = default;
  Owned(Owned&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (handle_ != nullptr) { destroy(handle_); }
  }
  Handle* address() { return &handle_; }
  Handle get() const { return handle_; }

 private:
  Handle handle_ = nullptr;
};

/// The process's handles, created at their first use. cuDNN's works on current_stream().
cublasLtHandle_t cublaslt();
cudnnHandle_t cudnn();

}  // namespace terrace::cuda
