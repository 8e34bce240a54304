// What a GPU alone can show. Parity of the ops is tested there by the same tests as in the executor (parity.h).
#include <array>
#include <cmath>
#include <cstdlib>
#include <tuple>

#include "tensor/matmul.h"
#include "tests/cuda/parity.h"

namespace terrace {
namespace {

TEST(Gpu, IsHere) {
  if (gpu()) { return; }
  std::string reason;
  try {
    device_from_name("cuda");
  } catch (const DeviceError& error) { reason = error.what(); }
  const char* required = std::getenv("REQUIRE_GPU");
  if (required != nullptr && std::string(required) == "1") { FAIL() << "REQUIRE_GPU=1, but " << reason; }
  GTEST_SKIP() << "CUDA's kernels were tested in the executor alone: " << reason;
}

/// The extents of VAR-d16's layers, at which cuBLASLt takes its fast paths.
TEST(Gpu, ProductsOfTheTransformersExtents) {
  SKIP_WITHOUT_GPU();
  for (const auto& [M, K, N] : {std::array<int64_t, 3>{680, 1024, 3072}, {680, 1024, 4096}, {1360, 4096, 1024}}) {
    const Function mlp = [](const std::vector<Variable>& in) {
      return feed_forward(in[0], in[1], in[2], in[3], in[4]);
    };
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      const double bound = 1 / std::sqrt(static_cast<double>(K));
      const std::vector<Tensor> inputs = {
          random_tensor({M, K}, 1, -1, 1, dtype), random_tensor({N, K}, 2, -bound, bound, dtype),
          random_tensor({N}, 3, -1, 1, dtype), random_tensor({K, N}, 4, -bound, bound, dtype),
          random_tensor({K}, 5, -1, 1, dtype)};
      const Results expected = results_on(kCpu, mlp, inputs), once = results_on(*gpu(), mlp, inputs);
      expect_close(once, expected, dtype == DType::kF32 ? 1e-5 : 1.5e-2, cat(dtype, " ", M, " ", K, " ", N));
      expect_same(results_on(*gpu(), mlp, inputs), once, "again");
    }
  }
}

/// Padding, strides and widths of the 256 px tokenizer.
TEST(Gpu, ConvolutionsOfTheTokenizer) {
  SKIP_WITHOUT_GPU();
  const Conv2dOptions same{1, {1, 1, 1, 1}}, halve{2, {0, 1, 0, 1}};
  for (const auto& [options, channels, side] : {std::tuple{same, 160, 32}, {halve, 160, 32}, {same, 320, 16}}) {
    const int64_t C = channels, P = side;
    const Function f = [o = options](const std::vector<Variable>& in) { return conv2d(in[0], in[1], in[2], o); };
    const double bound = 1 / std::sqrt(9.0 * static_cast<double>(C));
    const std::vector<Tensor> inputs = {random_tensor({2, C, P, P}, 1), random_tensor({C, C, 3, 3}, 2, -bound, bound),
                                        random_tensor({C}, 3)};
    const Results expected = results_on(kCpu, f, inputs), once = results_on(*gpu(), f, inputs);
    expect_close(once, expected, 1e-5, cat(C, " channels"));
    expect_same(results_on(*gpu(), f, inputs), once, "again");
  }
}

}  // namespace
}  // namespace terrace
