// The CPU's convolutions: which algorithm computes one, and those made of matrix products.
#include "tensor/kernels/conv2d.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "tensor/convolution/onednn_conv.h"
#include "tensor/device/allocator.h"
#include "tensor/device/buffer.h"
#include "tensor/device/parallel.h"
#include "tensor/gemm/gemm.h"
#include "tensor/kernels/conv2d_product.h"
#include "tensor/kernels/winograd.h"

namespace terrace {
namespace {

// --- Products of packed matrices ------------------------------------------------------------------------------------

GemmShape packed(Transpose ta, Transpose tb, int64_t m, int64_t n, int64_t k) {
  return {ta, tb, m, n, k, ta == Transpose::kNo ? k : m, tb == Transpose::kNo ? n : k, n};
}

// --- f32: one sgemm per image for 1x1 kernels, Winograd's algorithm for most 3x3 ones, else oneDNN -------------------

/// Whether the convolution is a matrix product of the tensors as they are: y[b] (O,HW) = weight (O,C) x[b] (C,HW). At
/// eight shapes of 32 to 640 channels this took 0.75 to 0.95 of the time of oneDNN's 1x1 kernels, layouts converted.
bool is_product(const Conv2dGeometry& g) {
  return g.kernel_height == 1 && g.kernel_width == 1 && g.stride == 1 && g.top == 0 && g.bottom == 0 && g.left == 0 &&
         g.right == 0;
}

/// The images of a batch in ranges, each computed by one thread (tensor/device/parallel.h). How many there are follows
/// from the geometry alone: sums over the images then have one order whatever the number of threads.
class ImageRanges {
 public:
  explicit ImageRanges(const Conv2dGeometry& g) : g_(g) {
    // A range costs 5 to 10 microseconds and a partial sum of the weights' gradient. A million products pay for
    // that; more than four ranges, as more than four threads want them, are made of larger products only.
    constexpr int64_t kMinProducts = int64_t{1} << 20, kManyProducts = int64_t{1} << 26, kMinPositions = 512, kFew = 4;
    const int64_t positions = g.batch * g.out_height() * g.out_width();
    const int64_t products = positions * g.in_channels * g.out_channels * g.kernel_height * g.kernel_width;
    const int64_t worth = std::min(products / kMinProducts, std::max(kFew, products / kManyProducts));
    // A power of two: as many threads then get equal shares of a batch of such a size.
    count_ = std::bit_floor(
        static_cast<uint64_t>(std::clamp<int64_t>(std::min(worth, positions / kMinPositions), 1, g.batch)));
  }

  int64_t count() const { return count_; }

  /// Calls body(geometry of a range, its number, its first image) for every range.
  template <class Body>
  void each(const Body& body) const {
    each_on_one_thread(count_, [&](int64_t i) {
      Conv2dGeometry range = g_;
      const int64_t first = g_.batch * i / count_;
      range.batch = g_.batch * (i + 1) / count_ - first;
      body(range, i, first);
    });
  }

 private:
  const Conv2dGeometry& g_;
  int64_t count_;
};

void product_forward(const Conv2dGeometry& g, const float* x, const float* weight, const float* bias, float* y) {
  const int64_t positions = g.height * g.width;
  const GemmShape shape = packed(Transpose::kNo, Transpose::kNo, g.out_channels, positions, g.in_channels);
  for (int64_t b = 0; b < g.batch; ++b) {
    float* out = y + b * g.out_channels * positions;
    if (bias != nullptr) { conv2d_fill_bias<float>(kCpu, bias, g.out_channels, positions, out); }
    openblas_gemm(shape, weight, x + b * g.in_channels * positions, out,
                  bias == nullptr ? Write::kOverwrite : Write::kAccumulate);
  }
}

void product_backward_data(const Conv2dGeometry& g, const float* weight, const float* dy, float* dx) {
  const int64_t positions = g.height * g.width;
  const GemmShape shape = packed(Transpose::kYes, Transpose::kNo, g.in_channels, positions, g.out_channels);
  for (int64_t b = 0; b < g.batch; ++b) {
    openblas_gemm(shape, weight, dy + b * g.out_channels * positions, dx + b * g.in_channels * positions,
                  Write::kOverwrite);
  }
}

void product_backward_weights(const Conv2dGeometry& g, const float* x, const float* dy, float* dweight, float* dbias) {
  const int64_t positions = g.height * g.width;
  const GemmShape shape = packed(Transpose::kNo, Transpose::kYes, g.out_channels, g.in_channels, positions);
  for (int64_t b = 0; b < g.batch; ++b) {
    const float* gradient = dy + b * g.out_channels * positions;
    const Write write = b == 0 ? Write::kOverwrite : Write::kAccumulate;
    openblas_gemm(shape, gradient, x + b * g.in_channels * positions, dweight, write);
    if (dbias != nullptr) { conv2d_sum_bias<float>(kCpu, gradient, g.out_channels, positions, write, dbias); }
  }
}

void product_backward(const Conv2dGeometry& g, const float* x, const float* weight, const float* dy, float* dx,
                      float* dweight, float* dbias) {
  if (dx != nullptr) { product_backward_data(g, weight, dy, dx); }
  if (dweight != nullptr) { product_backward_weights(g, x, dy, dweight, dbias); }
}

/// Measured with 32 to 640 channels on AVX2 and AVX-512: 0.95 to 3 times as fast as oneDNN where this holds.
bool winograd_pays(const Conv2dGeometry& g) {
  constexpr int64_t kMinChannels = 32, kMinResults = 256;
  return g.kernel_height == 3 && g.kernel_width == 3 && g.stride == 1 && g.in_channels >= kMinChannels &&
         g.batch * g.out_height() * g.out_width() >= kMinResults;
}

int64_t image_in(const Conv2dGeometry& g) { return g.in_channels * g.height * g.width; }
int64_t image_out(const Conv2dGeometry& g) { return g.out_channels * g.out_height() * g.out_width(); }

template <class T>
T* advanced(T* pointer, int64_t count) {
  return pointer == nullptr ? nullptr : pointer + count;
}

/// total += partial.
void add(const float* partial, int64_t count, float* total) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) { total[i] += partial[i]; }
}

/// The geometry of the convolution that computes dx from dy.
Conv2dGeometry gradient_of(const Conv2dGeometry& g) {
  Conv2dGeometry r = g;
  std::swap(r.in_channels, r.out_channels);
  r.height = g.out_height();
  r.width = g.out_width();
  r.top = g.kernel_height - 1 - g.top;
  r.bottom = g.kernel_height - 1 - g.bottom;
  r.left = g.kernel_width - 1 - g.left;
  r.right = g.kernel_width - 1 - g.right;
  return r;
}

void forward_f32(const Conv2dGeometry& g, const float* x, const float* weight, const float* bias, float* y) {
  if (winograd_pays(g)) { return winograd_conv2d(kCpu, g, x, weight, bias, y, WeightOrder::kForward); }
  const auto run = is_product(g) ? product_forward : onednn_convolution;
  ImageRanges(g).each([&](const Conv2dGeometry& range, int64_t, int64_t first) {
    run(range, x + first * image_in(g), weight, bias, y + first * image_out(g));
  });
}

/// Every range sums its own images; the partial sums are added in the order of the ranges.
void backward_by_ranges(const Conv2dGeometry& g, const float* x, const float* weight, const float* dy, float* dx,
                        float* dweight, float* dbias) {
  const AllocationName name("convolution gradients");
  const ImageRanges ranges(g);
  const int64_t taps = g.out_channels * g.in_channels * g.kernel_height * g.kernel_width;
  const int64_t sums = dweight == nullptr ? 0 : taps + g.out_channels;
  const Buffer<float> partial((ranges.count() - 1) * sums);  // of all ranges but the first
  const auto run = is_product(g) ? product_backward : onednn_convolution_backward;
  ranges.each([&](const Conv2dGeometry& range, int64_t i, int64_t first) {
    float* const sum = partial.data + (i - 1) * sums;
    run(range, advanced(x, first * image_in(g)), weight, dy + first * image_out(g), advanced(dx, first * image_in(g)),
        i == 0 || dweight == nullptr ? dweight : sum, i == 0 || dbias == nullptr ? dbias : sum + taps);
  });
  for (int64_t i = 1; i < ranges.count() && dweight != nullptr; ++i) {
    const float* const sum = partial.data + (i - 1) * sums;
    add(sum, taps, dweight);
    if (dbias != nullptr) { add(sum + taps, g.out_channels, dbias); }
  }
}

void backward_f32(const Conv2dGeometry& g, const float* x, const float* weight, const float* dy, float* dx,
                  float* dweight, float* dbias) {
  if (dx != nullptr && !is_product(g)) {
    const Conv2dGeometry gradient = gradient_of(g);
    const bool padded = std::min({gradient.top, gradient.bottom, gradient.left, gradient.right}) >= 0;
    if (padded && winograd_pays(gradient)) {
      winograd_conv2d(kCpu, gradient, dy, weight, nullptr, dx, WeightOrder::kGradient);
      dx = nullptr;
    }
  }
  if (dx != nullptr || dweight != nullptr) { backward_by_ranges(g, x, weight, dy, dx, dweight, dbias); }
}

// --- f64: one image at a time, columns (C*kh*kw, h*w) in scratch, one dgemm ------------------------------------------

void forward_f64(const Conv2dGeometry& g, const double* x, const double* weight, const double* bias, double* y) {
  const int64_t rows = g.in_channels * g.kernel_height * g.kernel_width, positions = g.out_height() * g.out_width();
  const Buffer<double> columns(rows * positions);
  for (int64_t b = 0; b < g.batch; ++b) {
    double* out = y + b * g.out_channels * positions;
    conv2d_unfold(kCpu, g, x + b * g.in_channels * g.height * g.width, columns.data);
    conv2d_fill_bias<double>(kCpu, bias, g.out_channels, positions, out);
    gemm(packed(Transpose::kNo, Transpose::kNo, g.out_channels, positions, rows), weight, columns.data, out,
         Write::kAccumulate);
  }
}

void backward_f64(const Conv2dGeometry& g, const double* x, const double* weight, const double* dy, double* dx,
                  double* dweight, double* dbias) {
  const int64_t rows = g.in_channels * g.kernel_height * g.kernel_width, positions = g.out_height() * g.out_width();
  const int64_t image = g.in_channels * g.height * g.width;
  const Buffer<double> columns(rows * positions);
  for (int64_t b = 0; b < g.batch; ++b) {
    const double* gradient = dy + b * g.out_channels * positions;
    const Write write = b == 0 ? Write::kOverwrite : Write::kAccumulate;
    if (dweight != nullptr) {
      conv2d_unfold(kCpu, g, x + b * image, columns.data);
      gemm(packed(Transpose::kNo, Transpose::kYes, g.out_channels, rows, positions), gradient, columns.data, dweight,
           write);
    }
    if (dbias != nullptr) { conv2d_sum_bias<double>(kCpu, gradient, g.out_channels, positions, write, dbias); }
    if (dx != nullptr) {
      gemm(packed(Transpose::kYes, Transpose::kNo, rows, positions, g.out_channels), weight, gradient, columns.data,
           Write::kOverwrite);
      conv2d_fold(kCpu, g, columns.data, dx + b * image);
    }
  }
}

TERRACE_REGISTER(conv2d_forward<float>, forward_f32);
TERRACE_REGISTER(conv2d_forward<double>, forward_f64);
TERRACE_REGISTER(conv2d_backward<float>, backward_f32);
TERRACE_REGISTER(conv2d_backward<double>, backward_f64);

}  // namespace
}  // namespace terrace
