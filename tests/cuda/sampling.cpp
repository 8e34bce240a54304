// Tokens drawn on the device are those that the CPU draws.
#include "tensor/kernels/sampling.h"

#include "tests/cuda/parity.h"

namespace terrace {
namespace {

Tensor logits_of(int64_t rows, int64_t classes) {
  const Tensor x = random_tensor({rows, classes}, 5, -6, 6);
  for (int64_t i = 0; i < x.numel(); ++i) {
    float& value = x.data<float>()[i];
    if (i / classes % 3 == 1) {
      value = std::round(value);  // rows in which many are equal
    }
    if (i / classes % 3 == 2 && i % 5 != 0) { value = -INFINITY; }
  }
  return x;
}

Tensor filtered(const Tensor& logits, Device device, int64_t top_k, double top_p) {
  const Tensor there = logits.clone().to(device);
  filter_logits(device, there.data<float>(), there.dim(0), there.dim(1), top_k, top_p);
  return there;
}

Tensor drawn(const Tensor& logits, Device device, int64_t tokens) {
  const Tensor there = logits.to(device);
  const Tensor seeds = Tensor::from<int64_t>({3, -1, 1 << 20}, {3}).to(device);
  const Tensor index = Tensor::empty({there.dim(0)}, DType::kI64, device);
  draw_classes(device, there.data<float>(), there.dim(0), there.dim(1), tokens, seeds.data<int64_t>(), 0, 7,
               index.data<int64_t>());
  return index.to(kCpu);
}

TEST(CudaSampling, FiltersAndDrawsAsOnTheCpu) {
  for (const auto& [tokens, classes] : {std::pair<int64_t, int64_t>{1, 1}, {3, 7}, {2, 300}, {1, 1100}}) {
    const Tensor logits = logits_of(3 * tokens, classes);
    for (const auto& [top_k, top_p] :
         {std::pair<int64_t, double>{0, 0}, {1, 0}, {9, 0}, {0, 0.3}, {0, 0.96}, {0, 1}, {40, 0.9}}) {
      const Tensor expected = filtered(logits, kCpu, top_k, top_p);
      const Tensor choice = drawn(expected, kCpu, tokens);
      for (const uint64_t seed : {0, 1}) {
        const executor::Schedule schedule(seed);
        EXPECT_SAME(filtered(logits, executor_device(), top_k, top_p).to(kCpu), expected)
            << classes << " classes, top_k " << top_k << ", top_p " << top_p;
        EXPECT_SAME(drawn(expected, executor_device(), tokens), choice);
      }
    }
  }
}

TEST(CudaSampling, SmoothMixesAsOnTheCpu) {
  for (const auto& [tokens, classes] : {std::pair<int64_t, int64_t>{1, 2}, {3, 7}, {2, 300}, {1, 1100}}) {
    const Tensor logits = logits_of(3 * tokens, classes);
    const Tensor seeds = Tensor::from<int64_t>({3, -1, 1 << 20}, {3});
    for (const auto& [sharpness, tau] : {std::pair{1.0, 0.27}, {2.0, 0.0135}}) {
      const auto mixed = [&, sharpness = sharpness, tau = tau, tokens = tokens](Device device) {
        const Tensor there = logits.clone().to(device), seeds_there = seeds.to(device);
        gumbel_softmax(device, there.data<float>(), there.dim(0), there.dim(1),
                       {sharpness, tau, seeds_there.data<int64_t>(), tokens, 1, 5});
        return there.to(kCpu);
      };
      const Tensor expected = mixed(kCpu);
      for (int64_t r = 0; r < expected.dim(0); ++r) { EXPECT_NEAR(sum(expected.select(0, r)).item<double>(), 1, 1e-5); }
      for (const Device device : cuda_devices()) {
        for (const uint64_t seed : {0, 1}) {
          const executor::Schedule schedule(seed);
          EXPECT_NEAR_TENSOR(mixed(device), expected, 1e-5) << device << " " << classes << " classes";
        }
      }
    }
  }
}

}  // namespace
}  // namespace terrace
