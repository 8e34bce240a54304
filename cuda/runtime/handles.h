// Handles of NVIDIA's libraries that release themselves; statuses as DeviceErrors.
#pragma once

#include <cublasLt.h>
#include <cudnn.h>

namespace terrace::cuda {

void check(cublasStatus_t status, const char* statement);
void check(cudnnStatus_t status, const char* statement);

/// The process's handles, made when first asked for. cuDNN's works on current_stream().
cublasLtHandle_t cublaslt();
cudnnHandle_t cudnn();

}  // namespace terrace::cuda
