#include "autograd/ops/interpolate.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <tuple>

#include "autograd/node.h"
#include "tensor/kernels/interpolate.h"

namespace terrace {
namespace {

struct Entry {
  int64_t position;
  double weight;
};
using Rows = std::vector<std::vector<Entry>>;  // per output, its entries by rising position

/// Source coordinate of output i's centre.
double source(int64_t i, int64_t inputs, int64_t outputs) {
  return (static_cast<double>(i) + 0.5) * static_cast<double>(inputs) / static_cast<double>(outputs) - 0.5;
}

std::vector<Entry> area_row(int64_t i, int64_t inputs, int64_t outputs) {
  const int64_t begin = i * inputs / outputs, end = ((i + 1) * inputs + outputs - 1) / outputs;
  std::vector<Entry> row;
  for (int64_t p = begin; p < end; ++p) { row.push_back({p, 1.0 / static_cast<double>(end - begin)}); }
  return row;
}

std::vector<Entry> bilinear_row(int64_t i, int64_t inputs, int64_t outputs) {
  const double at = std::max(source(i, inputs, outputs), 0.0);
  const int64_t low = std::min(static_cast<int64_t>(at), inputs - 1), high = std::min(low + 1, inputs - 1);
  const double fraction = std::clamp(at - static_cast<double>(low), 0.0, 1.0);
  if (low == high) { return {{low, 1.0}}; }
  return {{low, 1 - fraction}, {high, fraction}};
}

/// Keys' cubic convolution kernel ("Cubic convolution interpolation for digital image processing", 1981).
double cubic(double distance) {
  constexpr double kA = -0.75;
  const double d = std::abs(distance);
  if (d <= 1) { return ((kA + 2) * d - (kA + 3)) * d * d + 1; }
  if (d < 2) { return ((kA * d - 5 * kA) * d + 8 * kA) * d - 4 * kA; }
  return 0;
}

std::vector<Entry> bicubic_row(int64_t i, int64_t inputs, int64_t outputs) {
  const double at = source(i, inputs, outputs), floor = std::floor(at);
  std::vector<Entry> row;
  for (int64_t tap = -1; tap <= 2; ++tap) {
    const int64_t position = std::clamp(static_cast<int64_t>(floor) + tap, int64_t{0}, inputs - 1);
    const double weight = cubic(at - floor - static_cast<double>(tap));
    if (!row.empty() && row.back().position == position) {
      row.back().weight += weight;
    } else {
      row.push_back({position, weight});
    }
  }
  return row;
}

std::vector<Entry> nearest_row(int64_t i, int64_t inputs, int64_t outputs) {
  // In f32, because which of two neighbours is taken depends on the rounding, and PyTorch rounds so.
  const float scale = static_cast<float>(inputs) / static_cast<float>(outputs);
  const auto position = static_cast<int64_t>(std::floor(static_cast<float>(i) * scale));
  return {{std::min(position, inputs - 1), 1.0}};
}

Rows rows_of(Interpolation mode, int64_t inputs, int64_t outputs) {
  Rows rows;
  for (int64_t i = 0; i < outputs; ++i) {
    switch (mode) {
      case Interpolation::kArea:
        rows.push_back(area_row(i, inputs, outputs));
        break;
      case Interpolation::kBicubic:
        rows.push_back(bicubic_row(i, inputs, outputs));
        break;
      case Interpolation::kBilinear:
        rows.push_back(bilinear_row(i, inputs, outputs));
        break;
      case Interpolation::kNearest:
        rows.push_back(nearest_row(i, inputs, outputs));
        break;
    }
  }
  return rows;
}

Rows transposed(const Rows& rows, int64_t inputs) {
  Rows result(static_cast<size_t>(inputs));
  for (size_t i = 0; i < rows.size(); ++i) {
    for (const Entry& e : rows[i]) {
      result[static_cast<size_t>(e.position)].push_back({static_cast<int64_t>(i), e.weight});
    }
  }
  return result;
}

enum class Direction : bool { kForward, kBackward };

/// SparseRows in tensors, so that they can lie on any device.
struct Matrix {
  int64_t outputs = 0, inputs = 0;
  Tensor begin, position, weight;

  template <class A>
  SparseRows<A> sparse() const {
    return {outputs, inputs, begin.data<int64_t>(), position.data<int64_t>(), weight.data<A>()};
  }
};

Matrix make_matrix(Interpolation mode, int64_t inputs, int64_t outputs, Direction direction, DType dtype,
                   Device device) {
  Rows rows = rows_of(mode, inputs, outputs);
  if (direction == Direction::kBackward) {
    rows = transposed(rows, inputs);
    std::swap(inputs, outputs);
  }
  std::vector<int64_t> begin{0}, position;
  std::vector<double> weight;
  for (const std::vector<Entry>& row : rows) {
    for (const Entry& e : row) {
      position.push_back(e.position);
      weight.push_back(e.weight);
    }
    begin.push_back(static_cast<int64_t>(position.size()));
  }
  const auto entries = static_cast<int64_t>(position.size());
  return {outputs, inputs, Tensor::from(begin, {outputs + 1}).to(device), Tensor::from(position, {entries}).to(device),
          Tensor::from(weight, {entries}).to(dtype).to(device)};
}

/// Matrices are kept: sampling asks for the same few at every step.
Matrix matrix(Interpolation mode, int64_t inputs, int64_t outputs, Direction direction, DType dtype, Device device) {
  constexpr size_t kMaxMatrices = 1024;  // the table is emptied before it grows beyond this
  using Key = std::tuple<Interpolation, int64_t, int64_t, Direction, DType, DeviceType, int>;
  static std::mutex mutex;
  static std::map<Key, Matrix> made;
  const Key key{mode, inputs, outputs, direction, dtype, device.type, device.index};
  const std::lock_guard<std::mutex> lock(mutex);
  if (const auto found = made.find(key); found != made.end()) { return found->second; }
  if (made.size() >= kMaxMatrices) { made.clear(); }
  return made.emplace(key, make_matrix(mode, inputs, outputs, direction, dtype, device)).first->second;
}

/// Applies the matrices of (height, width) <- (H, W), or their transposes. `x` has the extents that are read.
Tensor apply_matrices(const Tensor& x, const Matrix& rows, const Matrix& cols) {
  const Tensor input = x.contiguous();
  const int64_t planes = x.dim(0) * x.dim(1);
  Tensor y = Tensor::empty({x.dim(0), x.dim(1), rows.outputs, cols.outputs}, x.dtype(), x.device());
  visit_floating(x.dtype(), "interpolate", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Accumulator<T>;
    const int64_t each = resample_scratch(rows.outputs, rows.inputs, cols.outputs, cols.inputs);
    const Tensor scratch = Tensor::empty({planes, each}, kDTypeOf<A>, x.device());
    resample<T>(x.device(), planes, rows.sparse<A>(), cols.sparse<A>(), input.data<T>(), scratch.data<A>(),
                y.data<T>());
  });
  return y;
}

void check(const Tensor& x, int64_t height, int64_t width) {
  check_ndim(x, 4, "interpolate", "x (B,C,H,W)");
  if (x.dim(2) < 1 || x.dim(3) < 1 || height < 1 || width < 1) {
    throw ShapeError(
        cat("interpolate: needs at least one row and column, got x ", x.shape(), " to ", height, "x", width));
  }
}

DType weight_type(DType dtype) { return dtype == DType::kF64 ? DType::kF64 : DType::kF32; }

}  // namespace

const char* name_of(Interpolation mode) {
  switch (mode) {
    case Interpolation::kArea:
      return "area";
    case Interpolation::kBicubic:
      return "bicubic";
    case Interpolation::kBilinear:
      return "bilinear";
    case Interpolation::kNearest:
      return "nearest";
  }
  return "?";
}

Tensor interpolate(const Tensor& x, int64_t height, int64_t width, Interpolation mode) {
  check(x, height, width);
  const DType dtype = weight_type(x.dtype());
  return apply_matrices(x, matrix(mode, x.dim(2), height, Direction::kForward, dtype, x.device()),
                        matrix(mode, x.dim(3), width, Direction::kForward, dtype, x.device()));
}

Variable interpolate(const Variable& x, int64_t height, int64_t width, Interpolation mode) {
  const int64_t from_height = x.ndim() == 4 ? x.dim(2) : 0, from_width = x.ndim() == 4 ? x.dim(3) : 0;
  return record("interpolate", interpolate(x.value(), height, width, mode), {x}, [=](const Tensor& dy) -> Gradients {
    const DType dtype = weight_type(dy.dtype());
    return {apply_matrices(dy, matrix(mode, from_height, height, Direction::kBackward, dtype, dy.device()),
                           matrix(mode, from_width, width, Direction::kBackward, dtype, dy.device()))};
  });
}

}  // namespace terrace
