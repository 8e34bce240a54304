#include "tensor/kernels/conv2d.h"

#include <omp.h>

#include <algorithm>
#include <utility>

#include "tensor/convolution/onednn_conv.h"
#include "tensor/gemm/gemm.h"
#include "tensor/kernels/buffer.h"
#include "tensor/kernels/winograd.h"

namespace terrace {
namespace {

// --- Products of packed matrices ------------------------------------------------------------------------------------

GemmShape packed(Transpose ta, Transpose tb, int64_t m, int64_t n, int64_t k) {
  return {ta, tb, m, n, k, ta == Transpose::kNo ? k : m, tb == Transpose::kNo ? n : k, n};
}

template <class T>
void fill_with_bias(const T* bias, int64_t channels, int64_t positions, T* y) {
  for (int64_t o = 0; o < channels; ++o) {
    for (int64_t i = 0; i < positions; ++i) { y[o * positions + i] = bias == nullptr ? T(0) : bias[o]; }
  }
}

/// dbias (O) [+]= the sums over the positions of dy (O, positions).
template <class T>
void sum_positions(const T* dy, int64_t channels, int64_t positions, Write write, T* dbias) {
  for (int64_t o = 0; o < channels; ++o) {
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < positions; ++i) { sum += dy[o * positions + i]; }
    dbias[o] = write == Write::kOverwrite ? sum : dbias[o] + sum;
  }
}

// --- f32: one sgemm per image for 1x1 kernels, Winograd's algorithm for most 3x3 ones, else oneDNN -------------------

/// A matrix product as it stands: y[b] (O,HW) = weight (O,C) x[b] (C,HW). At eight shapes of 32 to 640 channels this
/// took 0.75 to 0.95 of the time of oneDNN's 1x1 kernels with their change of layout.
bool is_product(const Conv2dGeometry& g) {
  return g.kernel_height == 1 && g.kernel_width == 1 && g.stride == 1 && g.top == 0 && g.bottom == 0 && g.left == 0 &&
         g.right == 0;
}

/// Threads that take whole images; with fewer images than threads one, and the products are threaded instead.
int image_workers(const Conv2dGeometry& g) {
  const int all = omp_get_max_threads();
  return g.batch >= all ? all : 1;
}

/// body(i) for i of [0, count). One worker runs outside any parallel region: inside one of a single thread the
/// libraries' own regions would make and end threads at every call.
template <class Body>
void for_each(int64_t count, int workers, const Body& body) {
  if (workers == 1) {
    for (int64_t i = 0; i < count; ++i) { body(i); }
    return;
  }
#pragma omp parallel for schedule(static) num_threads(workers)
  for (int64_t i = 0; i < count; ++i) { body(i); }
}

void product_forward(const Conv2dGeometry& g, const float* x, const float* weight, const float* bias, float* y) {
  const int64_t positions = g.height * g.width;
  const GemmShape shape = packed(Transpose::kNo, Transpose::kNo, g.out_channels, positions, g.in_channels);
  check_openblas_extents(shape);
  for_each(g.batch, image_workers(g), [&](int64_t b) {
    float* out = y + b * g.out_channels * positions;
    if (bias != nullptr) { fill_with_bias(bias, g.out_channels, positions, out); }
    openblas_gemm(shape, weight, x + b * g.in_channels * positions, out,
                  bias == nullptr ? Write::kOverwrite : Write::kAccumulate);
  });
}

void product_backward_data(const Conv2dGeometry& g, const float* weight, const float* dy, float* dx) {
  const int64_t positions = g.height * g.width;
  const GemmShape shape = packed(Transpose::kYes, Transpose::kNo, g.in_channels, positions, g.out_channels);
  check_openblas_extents(shape);
  for_each(g.batch, image_workers(g), [&](int64_t b) {
    openblas_gemm(shape, weight, dy + b * g.out_channels * positions, dx + b * g.in_channels * positions,
                  Write::kOverwrite);
  });
}

/// Each worker sums its own run of images; the partial sums are added in the order of the workers.
void product_backward_weights(const Conv2dGeometry& g, const float* x, const float* dy, float* dweight, float* dbias) {
  const int64_t positions = g.height * g.width, weights = g.out_channels * g.in_channels;
  const int workers = image_workers(g);
  const Buffer<float> partial(workers * (weights + g.out_channels));
  const GemmShape shape = packed(Transpose::kNo, Transpose::kYes, g.out_channels, g.in_channels, positions);
  check_openblas_extents(shape);
  for_each(workers, workers, [&](int64_t worker) {
    float* sum = partial.data + worker * (weights + g.out_channels);
    const int64_t begin = g.batch * worker / workers, end = g.batch * (worker + 1) / workers;
    for (int64_t b = begin; b < end; ++b) {
      const float* gradient = dy + b * g.out_channels * positions;
      const Write write = b == begin ? Write::kOverwrite : Write::kAccumulate;
      openblas_gemm(shape, gradient, x + b * g.in_channels * positions, sum, write);
      sum_positions(gradient, g.out_channels, positions, write, sum + weights);
    }
  });
  for (int64_t worker = 0; worker < workers; ++worker) {
    const float* sum = partial.data + worker * (weights + g.out_channels);
    for (int64_t i = 0; i < weights; ++i) { dweight[i] = worker == 0 ? sum[i] : dweight[i] + sum[i]; }
    for (int64_t o = 0; dbias != nullptr && o < g.out_channels; ++o) {
      dbias[o] = worker == 0 ? sum[weights + o] : dbias[o] + sum[weights + o];
    }
  }
}

/// Measured with 32 to 640 channels on AVX2 and AVX-512: 0.95 to 3 times as fast as oneDNN where this holds.
bool winograd_pays(const Conv2dGeometry& g) {
  constexpr int64_t kMinChannels = 32, kMinResults = 256;
  return g.kernel_height == 3 && g.kernel_width == 3 && g.stride == 1 && g.in_channels >= kMinChannels &&
         g.batch * g.out_height() * g.out_width() >= kMinResults;
}

/// The convolution that takes dy to dx.
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
  if (is_product(g)) { return product_forward(g, x, weight, bias, y); }
  if (winograd_pays(g)) { return winograd_conv2d(kCpu, g, x, weight, bias, y, WeightOrder::kForward); }
  onednn_convolution(g, x, weight, bias, y);
}

void backward_f32(const Conv2dGeometry& g, const float* x, const float* weight, const float* dy, float* dx,
                  float* dweight, float* dbias) {
  if (!is_product(g)) {
    const Conv2dGeometry gradient = gradient_of(g);
    const bool padded = std::min({gradient.top, gradient.bottom, gradient.left, gradient.right}) >= 0;
    if (dx != nullptr && padded && winograd_pays(gradient)) {
      winograd_conv2d(kCpu, gradient, dy, weight, nullptr, dx, WeightOrder::kGradient);
      dx = nullptr;
    }
    return onednn_convolution_backward(g, x, weight, dy, dx, dweight, dbias);
  }
  if (dx != nullptr) { product_backward_data(g, weight, dy, dx); }
  if (dweight != nullptr) { product_backward_weights(g, x, dy, dweight, dbias); }
}

// --- f64: one image at a time, columns (C*kh*kw, h*w) in scratch, one dgemm ------------------------------------------

/// The output positions [begin, end) whose source position i*stride + offset lies in [0, extent).
struct Range {
  Range(int64_t offset, int64_t stride, int64_t extent, int64_t outputs) {
    begin = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
    end = extent - offset <= 0 ? 0 : (extent - offset + stride - 1) / stride;
    if (end > outputs) { end = outputs; }
    if (begin > end) { begin = end; }
  }
  int64_t begin, end;
};

/// columns[(c,u,v), (i,j)] = x[c, i*stride+u-top, j*stride+v-left], 0 outside.
void unfold(const Conv2dGeometry& g, const double* x, double* columns) {
  const int64_t h = g.out_height(), w = g.out_width(), taps = g.kernel_height * g.kernel_width;
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < g.in_channels * taps; ++row) {
    const int64_t c = row / taps, u = row % taps / g.kernel_width, v = row % g.kernel_width;
    const Range is(u - g.top, g.stride, g.height, h), js(v - g.left, g.stride, g.width, w);
    double* out = columns + row * h * w;
    for (int64_t i = 0; i < h; ++i, out += w) {
      const bool inside = i >= is.begin && i < is.end;
      const double* in = x + (c * g.height + (inside ? i * g.stride + u - g.top : 0)) * g.width + v - g.left;
      for (int64_t j = 0; j < w; ++j) { out[j] = inside && j >= js.begin && j < js.end ? in[j * g.stride] : 0.0; }
    }
  }
}

/// The reverse of unfold: overwrites x with the sums of its columns. Each thread owns whole channels.
void fold(const Conv2dGeometry& g, const double* columns, double* x) {
  const int64_t h = g.out_height(), w = g.out_width(), taps = g.kernel_height * g.kernel_width;
#pragma omp parallel for schedule(static)
  for (int64_t c = 0; c < g.in_channels; ++c) {
    double* image = x + c * g.height * g.width;
    for (int64_t i = 0; i < g.height * g.width; ++i) { image[i] = 0; }
    for (int64_t tap = 0; tap < taps; ++tap) {
      const int64_t u = tap / g.kernel_width, v = tap % g.kernel_width;
      const Range is(u - g.top, g.stride, g.height, h), js(v - g.left, g.stride, g.width, w);
      const double* in = columns + (c * taps + tap) * h * w;
      for (int64_t i = is.begin; i < is.end; ++i) {
        double* out = image + (i * g.stride + u - g.top) * g.width + v - g.left;
        for (int64_t j = js.begin; j < js.end; ++j) { out[j * g.stride] += in[i * w + j]; }
      }
    }
  }
}

void forward_f64(const Conv2dGeometry& g, const double* x, const double* weight, const double* bias, double* y) {
  const int64_t rows = g.in_channels * g.kernel_height * g.kernel_width, positions = g.out_height() * g.out_width();
  const Buffer<double> columns(rows * positions);
  for (int64_t b = 0; b < g.batch; ++b) {
    double* out = y + b * g.out_channels * positions;
    unfold(g, x + b * g.in_channels * g.height * g.width, columns.data);
    fill_with_bias(bias, g.out_channels, positions, out);
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
      unfold(g, x + b * image, columns.data);
      gemm(packed(Transpose::kNo, Transpose::kYes, g.out_channels, rows, positions), gradient, columns.data, dweight,
           write);
    }
    if (dbias != nullptr) { sum_positions(gradient, g.out_channels, positions, write, dbias); }
    if (dx != nullptr) {
      gemm(packed(Transpose::kYes, Transpose::kNo, rows, positions, g.out_channels), weight, gradient, columns.data,
           Write::kOverwrite);
      fold(g, columns.data, dx + b * image);
    }
  }
}

TERRACE_REGISTER(conv2d_forward<float>, forward_f32);
TERRACE_REGISTER(conv2d_forward<double>, forward_f64);
TERRACE_REGISTER(conv2d_backward<float>, backward_f32);
TERRACE_REGISTER(conv2d_backward<double>, backward_f64);

}  // namespace
}  // namespace terrace
