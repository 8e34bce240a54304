// Devices, and the instruction sets among which the CPU's kernels are chosen at run time.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

namespace terrace {

/// kCudaHost is CUDA's kernels without a GPU: compiled for the CPU and run by cuda/executor, on memory of its own. For
/// tests, and for stepping through a kernel in a debugger.
enum class DeviceType : uint8_t { kCpu, kCuda, kCudaHost };
inline constexpr int kDeviceTypes = 3;

struct Device {
  DeviceType type = DeviceType::kCpu;
  int index = 0;
  bool operator==(const Device&) const = default;
  bool is_cpu() const { return type == DeviceType::kCpu; }
};
inline constexpr Device kCpu{};
std::ostream& operator<<(std::ostream& out, Device device);  // cpu, cuda:0, cuda-host

/// Parses "cpu", "cuda", "cuda:1", "cuda-host". Asking for CUDA loads its backend (libterrace_cuda.so beside
/// libterrace.so); where that is missing or finds no GPU this throws DeviceError with the reason in one line. A process
/// computes on one GPU: a second index is a DeviceError.
Device device_from_name(const std::string& name);

/// A column of the kernel table. CPU kernels are compiled once per instruction set, from the same source.
enum class Backend : uint8_t { kAvx2, kAvx512, kCuda, kCudaHost };
inline constexpr int kBackends = 4;

/// The best CPU column this machine can run. TERRACE_CPU=avx2 in the environment asks for the lesser one.
/// Throws DeviceError on a processor without AVX2 and FMA. The first call fills the kernel table.
Backend cpu_backend();
/// Where a device's kernels are looked up. With TERRACE_CPU=cuda-host in the environment the CPU's are CUDA's in the
/// executor, where there is one, else the CPU's: so the tests of the ops test CUDA's kernels.
Backend backend_of(Device device);
/// Whether the kernels in use can multiply pairs of bf16 and add them in f32 by one instruction (AVX512-BF16: Intel's
/// Cooper Lake and Sapphire Rapids, AMD's Zen 4).
bool has_bf16_products();
const char* name_of(Backend backend);
std::string cpu_model();  // as the operating system names it

/// Threads used by the kernels (OpenMP and BLAS). 0 asks for all cores this process may use.
/// OpenMP's part of the setting belongs to the calling thread: another std::thread starts with OpenMP's default
/// (OMP_NUM_THREADS, else all cores) and calls this itself if it computes. OpenBLAS's part is the process's. Nothing
/// here synchronises: call it before threads that compute are started, or at their beginning.
void set_threads(int count);
int threads();  // of the calling thread

}  // namespace terrace
