#include "tensor/communicator.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace terrace {
namespace {

constinit CommunicatorMaker makers[kDeviceTypes] = {};

/// Forwards to `host`, which outlives it.
class ThroughHost : public Communicator {
 public:
  explicit ThroughHost(HostCommunicator& host) : Communicator(host.rank(), host.size()), host_(host) {}
  void sum(const std::vector<Tensor>& tensors) override { host_.sum(tensors); }

 private:
  HostCommunicator& host_;
};

template <class T>
void add_values(void* sum, const std::vector<std::byte>& term) {
  auto* to = static_cast<T*>(sum);
  const auto* from = reinterpret_cast<const T*>(term.data());
  for (size_t i = 0; i < term.size() / sizeof(T); ++i) { to[i] += from[i]; }
}

}  // namespace

HostCommunicator::HostCommunicator(int rank, int size, std::vector<int> sockets)
    : Communicator(rank, size), sockets_(std::move(sockets)) {
  const size_t expected = rank == 0 ? static_cast<size_t>(size - 1) : 1;
  if (size < 1 || rank < 0 || rank >= size || (size > 1 && sockets_.size() != expected)) {
    throw ConfigError(cat("HostCommunicator: rank ", rank, " of ", size, " with ", sockets_.size(), " connections"));
  }
}

HostCommunicator::~HostCommunicator() {
  for (const int socket : sockets_) { close(socket); }
}

void HostCommunicator::send(int peer, const void* bytes, size_t count) {
  const int socket = sockets_[rank() == 0 ? static_cast<size_t>(peer - 1) : 0];
  const auto* from = static_cast<const std::byte*>(bytes);
  while (count > 0) {
    const ssize_t done = ::send(socket, from, count, MSG_NOSIGNAL);
    if (done < 0 && errno == EINTR) { continue; }
    if (done <= 0) { throw RankLeft(cat("rank ", peer, " has left")); }
    from += done;
    count -= static_cast<size_t>(done);
  }
}

void HostCommunicator::receive(int peer, void* bytes, size_t count) {
  const int socket = sockets_[rank() == 0 ? static_cast<size_t>(peer - 1) : 0];
  auto* to = static_cast<std::byte*>(bytes);
  while (count > 0) {
    const ssize_t done = ::recv(socket, to, count, 0);
    if (done < 0 && errno == EINTR) { continue; }
    if (done <= 0) { throw RankLeft(cat("rank ", peer, " has left")); }
    to += done;
    count -= static_cast<size_t>(done);
  }
}

void HostCommunicator::broadcast(void* bytes, size_t count) {
  if (rank() != 0) { return receive(0, bytes, count); }
  for (int peer = 1; peer < size(); ++peer) { send(peer, bytes, count); }
}

/// Rank 0 adds in the order of the ranks and gives the sum back.
void HostCommunicator::sum_bytes(void* values, size_t bytes, DType dtype) {
  if (rank() != 0) {
    send(0, values, bytes);
  } else {
    std::vector<std::byte> term(bytes);
    for (int peer = 1; peer < size(); ++peer) {
      receive(peer, term.data(), bytes);
      if (dtype == DType::kF32) {
        add_values<float>(values, term);
      } else {
        add_values<double>(values, term);
      }
    }
  }
  broadcast(values, bytes);
}

void HostCommunicator::sum(const std::vector<Tensor>& tensors) {
  for (const Tensor& tensor : tensors) {
    if (tensor.dtype() != DType::kF32) { check_dtype(tensor, DType::kF64, "Communicator::sum", "the tensor"); }
    if (!tensor.is_contiguous()) {
      throw ShapeError(cat("Communicator::sum: the tensor must be contiguous, got ", tensor.describe()));
    }
    const Tensor on_cpu = tensor.to(kCpu);
    sum_bytes(on_cpu.raw_data(), static_cast<size_t>(on_cpu.numel() * size_of(on_cpu.dtype())), on_cpu.dtype());
    Tensor target = tensor;
    if (!target.device().is_cpu()) { target.copy_(on_cpu); }
    target.bump_version();
  }
}

void HostCommunicator::barrier() {
  double zero = 0;
  sum_bytes(&zero, sizeof zero, DType::kF64);
}

std::unique_ptr<Communicator> make_communicator(Device device, HostCommunicator& host) {
  if (const CommunicatorMaker maker = makers[static_cast<int>(device.type)]) { return maker(host); }
  return std::make_unique<ThroughHost>(host);
}

void set_communicator_maker(DeviceType type, CommunicatorMaker maker) { makers[static_cast<int>(type)] = maker; }

}  // namespace terrace
