// Layers of networks that only run forward, on a device, beside plain ops in f64.
#include "tensor/kernels/inference.h"

#include "autograd/functions.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/pool2d.h"
#include "tests/cuda/parity.h"

namespace terrace {
namespace {

constexpr int64_t kGap = 5;  // channels beside the result, of a wider image

/// (B, C, H, W) -> (B, H, W, C)
Tensor last(const Tensor& x) { return x.permute({0, 2, 3, 1}).contiguous(); }

/// An image of ones, of which f writes some channels: those, in planes and f32, once the others are seen untouched.
template <class T, class F>
Tensor written(Device device, const Shape& shape, int64_t width, int64_t first, const F& f) {
  Tensor wide = Tensor::full({shape[0], shape[2], shape[3], width}, 1, kDTypeOf<T>, device);
  f(width, wide.data<T>() + first);
  wide = wide.to(kCpu).to(DType::kF32);
  const Tensor rest[] = {wide.slice(3, 0, first), wide.slice(3, first + shape[1], width)};
  for (const Tensor& r : rest) { EXPECT_SAME(r.contiguous(), Tensor::full(r.shape(), 1)); }
  return wide.slice(3, first, first + shape[1]).permute({0, 3, 1, 2}).contiguous();
}

template <class T>
void expect_conv(const Shape& x_shape, int64_t outputs, int64_t kernel_height, int64_t kernel_width, int64_t stride,
                 int64_t pad_height, int64_t pad_width) {
  constexpr DType kType = kDTypeOf<T>;
  SCOPED_TRACE(cat(kType, " x ", x_shape, " to ", outputs, ", ", kernel_height, "x", kernel_width, " stride ", stride));
  const Tensor x = random_tensor(x_shape, 1, -1, 1, kType);
  const Tensor weight = random_tensor({outputs, x_shape[1], kernel_height, kernel_width}, 2, -1, 1, kType);
  const Tensor bias = random_tensor({outputs}, 3, -1, 1, kType);
  const auto exact = [](const Tensor& t) { return Variable(t.to(DType::kF64)); };
  const Tensor expected =
      relu(conv2d(exact(x), exact(weight), exact(bias), {stride, {pad_height, pad_height, pad_width, pad_width}}))
          .value();
  const Conv2dGeometry g{x_shape[0],   x_shape[1], x_shape[2], x_shape[3], outputs,   kernel_height,
                         kernel_width, stride,     pad_height, pad_height, pad_width, pad_width};
  for (const Device device : cuda_devices()) {
    const Tensor there = last(x).to(device), weights = last(weight).to(device), biases = bias.to(device);
    const auto run = [&](int64_t pixel_stride, T* y) {
      inference_conv<T>(device, g, pixel_stride, there.data<T>(), weights.data<T>(), biases.data<T>(), y);
    };
    for (const auto& [width, first] :
         {std::pair<int64_t, int64_t>{outputs, 0}, {outputs + kGap, 2}, {outputs + 32, 16}}) {
      const Tensor actual = written<T>(device, expected.shape(), width, first, run);
      EXPECT_CLOSE(actual, expected, kType == DType::kF32 ? 2e-6 : 0x1p-8) << device << " into " << width;
      EXPECT_SAME(written<T>(device, expected.shape(), width, first, run), actual) << device << " again";
    }
  }
}

template <class T>
void expect_convs() {
  expect_conv<T>({2, 3, 5, 7}, 4, 1, 1, 1, 0, 0);
  expect_conv<T>({1, 16, 9, 8}, 33, 3, 3, 2, 0, 0);
  expect_conv<T>({2, 8, 6, 5}, 16, 1, 7, 1, 0, 3);
  expect_conv<T>({2, 8, 6, 5}, 16, 7, 1, 1, 3, 0);
  expect_conv<T>({1, 5, 4, 4}, 40, 5, 5, 1, 2, 2);
}

TEST(CudaInference, ConvolutionsOfF32) { expect_convs<float>(); }
TEST(CudaInference, ConvolutionsOfBf16) { expect_convs<BFloat16>(); }

template <class T>
void expect_pool(const Shape& x_shape, const Pool2dOptions& options) {
  constexpr DType kType = kDTypeOf<T>;
  SCOPED_TRACE(cat(kType, " x ", x_shape, " kernel ", options.kernel, " stride ", options.stride));
  const Tensor x = random_tensor(x_shape, 1, -1, 1, kType);
  const Variable exact(x.to(DType::kF64));
  const Pool2dGeometry g{x_shape[0], x_shape[2], x_shape[3], options.kernel, options.stride, options.pad};
  const int64_t channels = x_shape[1];
  for (const InferencePooling pooling : {InferencePooling::kMax, InferencePooling::kMeanWithoutPad}) {
    const bool maximum = pooling == InferencePooling::kMax;
    const Tensor expected =
        (maximum ? max_pool2d(exact, options) : avg_pool2d(exact, options, CountPad::kExclude)).value();
    for (const Device device : cuda_devices()) {
      const Tensor there = last(x).to(device);
      const auto run = [&](int64_t pixel_stride, T* y) {
        inference_pool<T>(device, g, channels, pooling, pixel_stride, there.data<T>(), y);
      };
      for (const auto& [width, first] :
           {std::pair<int64_t, int64_t>{channels, 0}, {channels + kGap, 2}, {channels + 16, 8}}) {
        const Tensor actual = written<T>(device, expected.shape(), width, first, run);
        EXPECT_CLOSE(actual, expected,
                     maximum                ? 0
                     : kType == DType::kF32 ? 1e-6
                                            : 0x1p-8)
            << device << " into " << width;
      }
    }
  }
}

TEST(CudaInference, Pools) {
  for (const Pool2dOptions& options : {Pool2dOptions{3, 1, 1}, Pool2dOptions{3, 2, 0}, Pool2dOptions{1, 1, 0}}) {
    for (const Shape& x : {Shape{2, 16, 5, 8}, Shape{1, 3, 7, 3}}) {
      expect_pool<float>(x, options);
      expect_pool<BFloat16>(x, options);
    }
  }
}

TEST(CudaInference, TheLargestIsNanWhereThereIsOne) {
  Tensor x = Tensor::zeros({1, 3, 3, 1});
  x.data<float>()[4] = NAN;
  for (const Device device : cuda_devices()) {
    const Tensor there = x.to(device), most = Tensor::zeros({1}, DType::kF32, device);
    inference_pool<float>(device, {1, 3, 3, 3, 1, 0}, 1, InferencePooling::kMax, 1, there.data<float>(),
                          most.data<float>());
    EXPECT_TRUE(std::isnan(most.to_vector<double>()[0])) << device;
  }
}

TEST(CudaInference, ChannelsLastWithZerosBehindThem) {
  const Tensor x = random_tensor({2, 3, 4, 5}, 1);
  Tensor expected = Tensor::zeros({2, 4, 5, 8});
  expected.slice(3, 0, 3).copy_(last(x));
  for (const Device device : cuda_devices()) {
    const Tensor there = x.to(device), y = Tensor::full({2, 4, 5, 8}, 1, DType::kF32, device);
    const Tensor narrow = Tensor::full({2, 4, 5, 8}, 1, DType::kBF16, device);
    channels_last<float>(device, 2, 3, 20, 8, there.data<float>(), y.data<float>());
    channels_last<BFloat16>(device, 2, 3, 20, 8, there.data<float>(), narrow.data<BFloat16>());
    EXPECT_SAME(y.to(kCpu), expected);
    EXPECT_SAME(narrow.to(kCpu), expected.to(DType::kBF16));
  }
}

}  // namespace
}  // namespace terrace
