#include "tensor/kernels/conv2d_product.h"

namespace terrace {
namespace {

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

/// Each thread sums whole channels, so no two write one element.
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

template <class T>
void fill_bias(const T* bias, int64_t channels, int64_t positions, T* y) {
  for (int64_t o = 0; o < channels; ++o) {
    for (int64_t i = 0; i < positions; ++i) { y[o * positions + i] = bias == nullptr ? T(0) : bias[o]; }
  }
}

template <class T>
void sum_bias(const T* dy, int64_t channels, int64_t positions, Write write, T* dbias) {
  for (int64_t o = 0; o < channels; ++o) {
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < positions; ++i) { sum += dy[o * positions + i]; }
    dbias[o] = write == Write::kOverwrite ? sum : dbias[o] + sum;
  }
}

TERRACE_REGISTER(conv2d_unfold, unfold);
TERRACE_REGISTER(conv2d_fold, fold);
TERRACE_REGISTER(conv2d_fill_bias<float>, fill_bias<float>);
TERRACE_REGISTER(conv2d_fill_bias<double>, fill_bias<double>);
TERRACE_REGISTER(conv2d_sum_bias<float>, sum_bias<float>);
TERRACE_REGISTER(conv2d_sum_bias<double>, sum_bias<double>);

}  // namespace
}  // namespace terrace
