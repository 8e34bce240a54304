#include "tensor/communicator.h"

#include <sys/socket.h>

#include <functional>
#include <thread>

#include "tests/support.h"

namespace terrace {
namespace {

/// Runs body(communicator) as `size` ranks, a thread each.
void as_ranks(int size, const std::function<void(HostCommunicator&)>& body) {
  std::vector<std::vector<int>> sockets(static_cast<size_t>(size));
  for (int rank = 1; rank < size; ++rank) {
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    sockets[0].push_back(pair[0]);
    sockets[static_cast<size_t>(rank)].push_back(pair[1]);
  }
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      HostCommunicator communicator(rank, size, sockets[static_cast<size_t>(rank)]);
      body(communicator);
    });
  }
  for (std::thread& thread : threads) { thread.join(); }
}

TEST(HostCommunicator, AddsInTheOrderOfTheRanksToTheSameBitsEverywhere) {
  for (const int size : {1, 2, 3}) {
    for (const int64_t n : {0, 1, 7, 300000}) {  // the last is more than a socket holds
      std::vector<Tensor> f32(static_cast<size_t>(size)), f64(static_cast<size_t>(size));
      as_ranks(size, [&](HostCommunicator& ranks) {
        const auto rank = static_cast<size_t>(ranks.rank());
        f32[rank] = random_tensor({n}, rank + 1);
        f64[rank] = random_tensor({2, 3}, rank + 1, -1, 1, DType::kF64);
        const uint64_t before = f32[rank].version();
        ranks.sum({f32[rank], f64[rank]});
        EXPECT_GT(f32[rank].version(), before);
      });
      Tensor expected = random_tensor({n}, 1);
      for (int rank = 1; rank < size; ++rank) {
        const Tensor term = random_tensor({n}, static_cast<uint64_t>(rank) + 1);
        for (int64_t i = 0; i < n; ++i) { expected.data<float>()[i] += term.data<float>()[i]; }
      }
      for (int rank = 0; rank < size; ++rank) {
        EXPECT_SAME(f32[static_cast<size_t>(rank)], expected) << rank << " of " << size;
        EXPECT_SAME(f64[static_cast<size_t>(rank)], f64[0]);
      }
    }
  }
}

TEST(HostCommunicator, MovesTensorsOfADevice) {
  const Device device = device_from_name("cuda-host");
  std::vector<Tensor> sums(2);
  as_ranks(2, [&](HostCommunicator& ranks) {
    const std::unique_ptr<Communicator> of_device = make_communicator(device, ranks);
    Tensor& sum = sums[static_cast<size_t>(ranks.rank())];
    sum = Tensor::full({5}, ranks.rank() + 1).to(device);
    of_device->sum({sum});
  });
  for (const Tensor& sum : sums) { EXPECT_SAME(sum.to(kCpu), Tensor::full({5}, 3)); }
}

TEST(HostCommunicator, BroadcastsWhatRankZeroHas) {
  as_ranks(3, [](HostCommunicator& ranks) {
    int64_t value = 10 + ranks.rank();
    ranks.barrier();
    ranks.broadcast(&value, sizeof value);
    EXPECT_EQ(value, 10);
  });
}

TEST(HostCommunicator, NoticesWhoHasLeft) {
  as_ranks(2, [](HostCommunicator& ranks) {
    if (ranks.rank() == 1) { return; }
    expect_error<RankLeft>([&] { ranks.sum({Tensor::zeros({3})}); }, "rank 1 has left");
  });
}

TEST(HostCommunicator, SaysWhatDoesNotFit) {
  HostCommunicator alone(0, 1, {});
  expect_error<DTypeError>([&] { alone.sum({Tensor::zeros({2}, DType::kI64)}); },
                           "Communicator::sum: the tensor must be");
  expect_error<ShapeError>(
      [&] {
        alone.sum({Tensor::zeros({2, 3}).transpose(0, 1)});
      },
      "Communicator::sum: the tensor must be contiguous");
  expect_error<ConfigError>([] { HostCommunicator(1, 2, {}); }, "HostCommunicator: rank 1 of 2 with 0 connections");
}

}  // namespace
}  // namespace terrace
