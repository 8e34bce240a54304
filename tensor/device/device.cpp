#include "tensor/device/device.h"

#include <cblas.h>
#include <dlfcn.h>
#include <omp.h>

#include <cstdlib>
#include <fstream>

#include "tensor/base/error.h"
#include "tensor/device/cores.h"
#include "tensor/device/device_memory.h"
#include "tensor/device/kernel.h"

namespace terrace {
namespace {

Backend detect_cpu_backend() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    throw DeviceError(
        "this processor has no AVX2 and FMA, which Terrace's kernels need (Intel since 2013, AMD since 2015)");
  }
  const char* wish = std::getenv("TERRACE_CPU");
  const std::string asked = wish == nullptr ? "" : wish;
  if (!asked.empty() && asked != "avx2" && asked != "avx512" && asked != "cuda-host") {
    throw ConfigError(cat("TERRACE_CPU is '", asked, "'; it takes avx2, avx512 or cuda-host"));
  }
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (asked == "avx512" && !avx512) {
    throw DeviceError("TERRACE_CPU asks for avx512, which this processor does not have");
  }
  fill_kernel_table(Backend::kAvx2);
  if (avx512) { fill_kernel_table(Backend::kAvx512); }
  return avx512 && asked != "avx2" ? Backend::kAvx512 : Backend::kAvx2;
}

/// Loads a backend's library, which stays loaded. Loading it fills its column of the kernel table; its function
/// terrace_start_backend finds the device and enters its memory's functions (device_memory.h).
void load_backend(const char* name, const char* library, int index) {
  void* handle = dlopen(library, RTLD_NOW | RTLD_GLOBAL);
  if (handle == nullptr) {
    throw DeviceError(cat("device ", name, ": the CUDA backend is not available (", dlerror(), "); use --device cpu"));
  }
  const auto start = reinterpret_cast<void (*)(int)>(dlsym(handle, "terrace_start_backend"));
  if (start == nullptr) { throw DeviceError(cat("device ", name, ": ", library, " is no backend (", dlerror(), ")")); }
  start(index);
}

void load_cuda_host() { load_backend("cuda-host", "libterrace_cuda_host.so", 0); }

Backend detect_cpu_column() {
  const Backend best = cpu_backend();
  const char* wish = std::getenv("TERRACE_CPU");
  if (wish == nullptr || std::string(wish) != "cuda-host") { return best; }
  load_cuda_host();
  return Backend::kCudaHost;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, Device device) {
  if (device.type == DeviceType::kCuda) { return out << "cuda:" << device.index; }
  return out << (device.is_cpu() ? "cpu" : "cuda-host");
}

Device device_from_name(const std::string& name) {
  if (name == "cpu") { return kCpu; }
  if (name == "cuda" || name.rfind("cuda:", 0) == 0) {
    const std::string digits = name == "cuda" ? "0" : name.substr(5);
    if (digits.empty() || digits.size() > 3 || digits.find_first_not_of("0123456789") != std::string::npos) {
      throw ConfigError(cat("device '", name, "' is none; use cpu, cuda or cuda:N"));
    }
    const int index = std::stoi(digits);
    load_backend("cuda", "libterrace_cuda.so", index);
    return {DeviceType::kCuda, index};
  }
  if (name == "cuda-host") {
    load_cuda_host();
    return {DeviceType::kCudaHost, 0};
  }
  throw ConfigError(cat("device '", name, "' is none; use cpu, cuda or cuda:N"));
}

Backend cpu_backend() {
  static const Backend backend = detect_cpu_backend();
  return backend;
}

Backend backend_of(Device device) {
  if (device.type == DeviceType::kCuda) { return Backend::kCuda; }
  if (device.type == DeviceType::kCudaHost) { return Backend::kCudaHost; }
  static const Backend column = detect_cpu_column();
  return column;
}

const char* name_of(Backend backend) {
  static constexpr const char* kNames[] = {"avx2", "avx512", "cuda", "cuda-host"};
  return kNames[static_cast<int>(backend)];
}

bool has_bf16_products() { return cpu_backend() == Backend::kAvx512 && __builtin_cpu_supports("avx512bf16"); }

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) {
      const size_t colon = line.find(": ");
      if (colon != std::string::npos) { return line.substr(colon + 2); }
    }
  }
  return "unknown";
}

void set_threads(int count) {
  if (count < 0) { throw ConfigError(cat("threads: must be 0 (all cores) or more, got ", count)); }
  if (count == 0) { count = available_cores(); }
  omp_set_num_threads(count);
  openblas_set_num_threads(count);
}

int threads() { return omp_get_max_threads(); }

}  // namespace terrace
