// Kernels over images, beside the CPU's.
#include "tests/cuda/parity.h"

namespace terrace {
namespace {

TEST(CudaImages, Pooling) {
  for (const Pool2dOptions& options : {Pool2dOptions{1, 1, 0}, Pool2dOptions{2, 2, 0}, Pool2dOptions{3, 1, 1},
                                       Pool2dOptions{3, 2, 0}, Pool2dOptions{2, 5, 1}}) {
    for (const Shape& x : {Shape{2, 3, 3, 4}, Shape{1, 2, 17, 33}}) {
      for (const CountPad count : {CountPad::kInclude, CountPad::kExclude}) {
        expect_parity([&](const std::vector<Variable>& in) { return avg_pool2d(in[0], options, count); }, {x});
      }
      expect_parity([&](const std::vector<Variable>& in) { return max_pool2d(in[0], options); }, {x});
    }
  }
}

TEST(CudaImages, MaximumOfNanAndEquals) {
  Tensor x = Tensor::full({1, 1, 6, 6}, 1);
  x.data<float>()[14] = NAN;
  const auto run = [&](Device device) {
    const Function op = [](const std::vector<Variable>& in) { return max_pool2d(in[0], {3, 2, 1}); };
    return results_on(device, op, {x});
  };
  const Results expected = run(kCpu), actual = run(executor_device());
  EXPECT_SAME(actual.value, expected.value);
  EXPECT_SAME(actual.gradients[0], expected.gradients[0]);
}

TEST(CudaImages, Interpolation) {
  for (const Interpolation mode :
       {Interpolation::kArea, Interpolation::kBicubic, Interpolation::kBilinear, Interpolation::kNearest}) {
    for (const auto& [from, to] : {std::pair(Shape{1, 1}, Shape{3, 5}),
                                   {Shape{16, 16}, Shape{5, 7}},
                                   {Shape{13, 16}, Shape{16, 16}},
                                   {Shape{4, 9}, Shape{11, 2}}}) {
      const Shape target = to;
      expect_parity([&](const std::vector<Variable>& in) { return interpolate(in[0], target[0], target[1], mode); },
                    {{2, 3, from[0], from[1]}});
    }
  }
}

}  // namespace
}  // namespace terrace
