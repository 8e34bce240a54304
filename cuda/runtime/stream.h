// Streams and events that release themselves. All work of the backend goes to one stream, current_stream(): the
// allocator hands a freed block on at once, because its next user's work comes later in that stream. Copies that
// overlap with it have streams of their own (PinnedBuffer).
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace terrace::cuda {

class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(cudaStream_t stream);
  void wait();  // the calling thread waits
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }
  void wait_for(const Event& event);  // later work of this stream comes after it
  void synchronize();

 private:
  cudaStream_t stream_ = nullptr;
};

/// The stream of all computing, on the process's GPU; makes that GPU the calling thread's.
Stream& current_stream();

/// Which GPU the process computes on: the first call decides, another index later is a DeviceError.
void select_gpu(int index);

/// Memory of the host that the GPU copies from and to by itself, while both go on computing.
class PinnedBuffer {
 public:
  explicit PinnedBuffer(size_t bytes);
  ~PinnedBuffer();
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;
  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  /// Begins to copy the first `bytes` to device memory, on `stream`; `done` is recorded behind the copy.
  void copy_to(void* device, size_t bytes, Stream& stream, Event& done) const;

 private:
  std::byte* data_ = nullptr;
  size_t bytes_;
};

}  // namespace terrace::cuda
