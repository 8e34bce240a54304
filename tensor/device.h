// Devices, and the instruction sets among which the CPU's kernels are chosen at run time.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

namespace terrace {

enum class DeviceType : uint8_t { kCpu, kCuda };

struct Device {
  DeviceType type = DeviceType::kCpu;
  int index = 0;
  bool operator==(const Device&) const = default;
  bool is_cpu() const { return type == DeviceType::kCpu; }
};
inline constexpr Device kCpu{};
std::ostream& operator<<(std::ostream& out, Device device);  // cpu, cuda:0

/// Parses "cpu", "cuda", "cuda:1". Asking for CUDA loads its backend (libterrace_cuda.so beside the programs);
/// where that is missing or finds no GPU this throws DeviceError with the reason in one line.
Device device_from_name(const std::string& name);

/// A column of the kernel table. CPU kernels are compiled once per instruction set, from the same source.
enum class Backend : uint8_t { kAvx2, kAvx512, kCuda };
inline constexpr int kBackends = 3;

/// The best CPU column this machine can run. TERRACE_CPU=avx2 in the environment asks for the lesser one.
/// Throws DeviceError on a processor without AVX2 and FMA. The first call fills the kernel table.
Backend cpu_backend();
const char* name_of(Backend backend);
std::string cpu_model();  // as the operating system names it

/// Threads used by the kernels (OpenMP and BLAS). 0 asks for all cores this process may use.
/// OpenMP's part of the setting belongs to the calling thread: another std::thread starts with OpenMP's default
/// (OMP_NUM_THREADS, else all cores) and calls this itself if it computes. OpenBLAS's part is the process's. Nothing
/// here synchronises: call it before threads that compute are started, or at their beginning.
void set_threads(int count);
int threads();  // of the calling thread

}  // namespace terrace
