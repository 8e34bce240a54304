#include "cuda/runtime/stream.h"

#include <atomic>

#include "cuda/runtime/error.h"
#include "tensor/base/error.h"

namespace terrace::cuda {
namespace {

std::atomic<int> chosen_gpu{-1};

void use_gpu() {
  static thread_local bool chosen = false;
  if (chosen) { return; }
  TERRACE_CUDA(cudaSetDevice(chosen_gpu.load()));
  chosen = true;
}

}  // namespace

Event::Event() { TERRACE_CUDA(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
Event::~Event() { cudaEventDestroy(event_); }
void Event::record(cudaStream_t stream) { TERRACE_CUDA(cudaEventRecord(event_, stream)); }
void Event::wait() { TERRACE_CUDA(cudaEventSynchronize(event_)); }

Stream::Stream() { TERRACE_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
Stream::~Stream() { cudaStreamDestroy(stream_); }
void Stream::wait_for(const Event& event) { TERRACE_CUDA(cudaStreamWaitEvent(stream_, event.get(), 0)); }
void Stream::synchronize() { TERRACE_CUDA(cudaStreamSynchronize(stream_)); }

Stream& current_stream() {
  use_gpu();
  static Stream* const stream = new Stream;  // tensors of static lifetime use it to the very end
  return *stream;
}

void select_gpu(int index) {
  int count = 0;
  TERRACE_CUDA(cudaGetDeviceCount(&count));
  if (index >= count) {
    throw DeviceError(cat("device cuda:", index, ": this machine has ", count, " GPUs, from cuda:0"));
  }
  int expected = -1;
  if (!chosen_gpu.compare_exchange_strong(expected, index) && expected != index) {
    throw DeviceError(
        cat("device cuda:", index, ": this process computes on cuda:", expected, "; start a process for each GPU"));
  }
  current_stream();
}

PinnedBuffer::PinnedBuffer(size_t bytes) : bytes_(bytes) {
  void* memory = nullptr;
  TERRACE_CUDA(cudaMallocHost(&memory, bytes));
  data_ = static_cast<std::byte*>(memory);
}
PinnedBuffer::~PinnedBuffer() { cudaFreeHost(data_); }

void PinnedBuffer::copy_to(void* device, size_t bytes, Stream& stream, Event& done) const {
  TERRACE_CUDA(cudaMemcpyAsync(device, data_, bytes, cudaMemcpyHostToDevice, stream.get()));
  done.record(stream.get());
}

}  // namespace terrace::cuda
