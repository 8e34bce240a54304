#include "tensor/kernels/conv2d.h"

#include <cblas.h>

#include "tensor/allocator.h"
#include "tensor/onednn_conv.h"

namespace terrace {
namespace {

void forward_f32(const Conv2dGeometry& geometry, const float* x, const float* weight, const float* bias, float* y) {
  onednn_convolution(geometry, x, weight, bias, y);
}

void backward_f32(const Conv2dGeometry& geometry, const float* x, const float* weight, const float* dy, float* dx,
                  float* dweight, float* dbias) {
  onednn_convolution_backward(geometry, x, weight, dy, dx, dweight, dbias);
}

// --- f64: one image at a time, columns (C*kh*kw, h*w) in scratch, one dgemm ------------------------------------------

struct Columns {
  explicit Columns(const Conv2dGeometry& g)
      : rows(g.in_channels * g.kernel_height * g.kernel_width),
        cols(g.out_height() * g.out_width()),
        bytes(static_cast<size_t>(rows * cols) * sizeof(double)),
        data(static_cast<double*>(allocate(bytes, &tag))) {}
  ~Columns() { deallocate(data, bytes, tag); }
  Columns(const Columns&) = delete;
  Columns& operator=(const Columns&) = delete;
  int64_t rows, cols;
  size_t bytes;
  int tag = 0;
  double* data;
};

/// The output positions [begin, end) whose source position i*stride + offset lies in [0, extent).
struct Range {
  Range(int64_t offset, int64_t stride, int64_t extent, int64_t outputs) {
    begin = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
    end = extent - offset <= 0 ? 0 : (extent - offset + stride - 1) / stride;
    if (end > outputs) end = outputs;
    if (begin > end) begin = end;
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
      for (int64_t j = 0; j < w; ++j) out[j] = inside && j >= js.begin && j < js.end ? in[j * g.stride] : 0.0;
    }
  }
}

/// The reverse of unfold: overwrites x with the sums of its columns. Each thread owns whole channels.
void fold(const Conv2dGeometry& g, const double* columns, double* x) {
  const int64_t h = g.out_height(), w = g.out_width(), taps = g.kernel_height * g.kernel_width;
#pragma omp parallel for schedule(static)
  for (int64_t c = 0; c < g.in_channels; ++c) {
    double* image = x + c * g.height * g.width;
    for (int64_t i = 0; i < g.height * g.width; ++i) image[i] = 0;
    for (int64_t tap = 0; tap < taps; ++tap) {
      const int64_t u = tap / g.kernel_width, v = tap % g.kernel_width;
      const Range is(u - g.top, g.stride, g.height, h), js(v - g.left, g.stride, g.width, w);
      const double* in = columns + (c * taps + tap) * h * w;
      for (int64_t i = is.begin; i < is.end; ++i) {
        double* out = image + (i * g.stride + u - g.top) * g.width + v - g.left;
        for (int64_t j = js.begin; j < js.end; ++j) out[j * g.stride] += in[i * w + j];
      }
    }
  }
}

void forward_f64(const Conv2dGeometry& g, const double* x, const double* weight, const double* bias, double* y) {
  const Columns columns(g);
  const int rows = static_cast<int>(columns.rows), cols = static_cast<int>(columns.cols);
  for (int64_t b = 0; b < g.batch; ++b) {
    double* out = y + b * g.out_channels * columns.cols;
    unfold(g, x + b * g.in_channels * g.height * g.width, columns.data);
    for (int64_t o = 0; o < g.out_channels; ++o) {
      for (int64_t i = 0; i < columns.cols; ++i) out[o * columns.cols + i] = bias == nullptr ? 0.0 : bias[o];
    }
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(g.out_channels), cols, rows, 1.0, weight,
                rows, columns.data, cols, 1.0, out, cols);
  }
}

void backward_f64(const Conv2dGeometry& g, const double* x, const double* weight, const double* dy, double* dx,
                  double* dweight, double* dbias) {
  const Columns columns(g);
  const int rows = static_cast<int>(columns.rows), cols = static_cast<int>(columns.cols);
  const int outputs = static_cast<int>(g.out_channels);
  const int64_t image = g.in_channels * g.height * g.width;
  for (int64_t b = 0; b < g.batch; ++b) {
    const double* gradient = dy + b * g.out_channels * columns.cols;
    if (dweight != nullptr) {
      unfold(g, x + b * image, columns.data);
      cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, outputs, rows, cols, 1.0, gradient, cols, columns.data, cols,
                  b == 0 ? 0.0 : 1.0, dweight, rows);
    }
    for (int64_t o = 0; dbias != nullptr && o < g.out_channels; ++o) {
      double sum = 0;
      for (int64_t i = 0; i < columns.cols; ++i) sum += gradient[o * columns.cols + i];
      dbias[o] = b == 0 ? sum : dbias[o] + sum;
    }
    if (dx != nullptr) {
      cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, rows, cols, outputs, 1.0, weight, rows, gradient, cols, 0.0,
                  columns.data, cols);
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
