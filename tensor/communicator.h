// Processes that train one model together, one for each GPU: ranks 0 to size - 1.
//
// What they add up has the same bits on every rank. HostCommunicator moves it through sockets, adds in the order of the
// ranks, and works on every device; on GPUs make_communicator() gives NCCL's, which libterrace_cuda.so loads when it is
// asked for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace terrace {

/// The process of another rank has ended: "rank 1 has left".
struct RankLeft : Error {
  using Error::Error;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  int rank() const { return rank_; }
  int size() const { return size_; }

  /// Replaces each tensor by its sum over the ranks. Every rank calls it with tensors of the same number, shapes and
  /// types: contiguous, f32 or f64. Throws RankLeft.
  virtual void sum(const std::vector<Tensor>& tensors) = 0;

 protected:
  Communicator(int rank, int size) : rank_(rank), size_(size) {}

 private:
  int rank_, size_;
};

class HostCommunicator : public Communicator {
 public:
  /// Takes over connected stream sockets: rank 0's lead to ranks 1, 2, ...; every other rank has one, to rank 0.
  HostCommunicator(int rank, int size, std::vector<int> sockets);
  ~HostCommunicator() override;

  void sum(const std::vector<Tensor>& tensors) override;
  /// Rank 0's bytes become everybody's.
  void broadcast(void* bytes, size_t count);
  /// Returns once all ranks have called it.
  void barrier();

 private:
  void sum_bytes(void* values, size_t bytes, DType dtype);
  void send(int peer, const void* bytes, size_t count);
  void receive(int peer, void* bytes, size_t count);

  std::vector<int> sockets_;
};

/// For tensors of `device`: NCCL's for a GPU, else `host` itself. Every rank calls it; `host` outlives it. Throws
/// DeviceError where NCCL is missing.
std::unique_ptr<Communicator> make_communicator(Device device, HostCommunicator& host);

/// A backend's own communicator, in place of the host's.
using CommunicatorMaker = std::unique_ptr<Communicator> (*)(HostCommunicator& host);
void set_communicator_maker(DeviceType type, CommunicatorMaker maker);

}  // namespace terrace
