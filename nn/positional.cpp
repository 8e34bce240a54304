#include "nn/positional.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/ops/interpolate.h"

namespace terrace {
namespace {

constexpr double kBase = 10000;

/// Writes the sinusoid of one position into channels [0, channels) of `row`.
void write_sinusoid(double position, int64_t channels, float* row) {
  for (int64_t i = 0; 2 * i < channels; ++i) {
    const double frequency = std::exp(-2.0 * static_cast<double>(i) * std::log(kBase) / static_cast<double>(channels));
    row[2 * i] = static_cast<float>(std::sin(position * frequency));
    row[2 * i + 1] = static_cast<float>(std::cos(position * frequency));
  }
}

void check_channels(int64_t channels, int64_t divisor, const char* op) {
  if (channels < divisor || channels % divisor != 0) {
    throw ShapeError(cat(op, ": the number of channels must be a positive multiple of ", divisor, ", got ", channels));
  }
}

int64_t token_count(const std::vector<int64_t>& patch_nums, const char* op) {
  int64_t count = 0;
  for (const int64_t patch : patch_nums) {
    if (patch < 1) { throw ShapeError(cat(op, ": patch numbers must be 1 or more, got ", patch)); }
    count += patch * patch;
  }
  return count;
}

/// Rows of every scale's grid, whose axis positions axis(i, patch) gives.
template <class Axis>
Tensor pyramid_grid(const std::vector<int64_t>& patch_nums, int64_t channels, const char* op, const Axis& axis) {
  check_channels(channels, 4, op);
  Tensor table = Tensor::empty({token_count(patch_nums, op), channels});
  int64_t begin = 0;
  for (const int64_t patch : patch_nums) {
    std::vector<double> positions;
    for (int64_t i = 0; i < patch; ++i) {
      positions.push_back(axis(static_cast<double>(i), static_cast<double>(patch)));
    }
    table.slice(0, begin, begin + patch * patch).copy_(sinusoid_2d(positions, positions, channels));
    begin += patch * patch;
  }
  return table;
}

}  // namespace

Tensor sinusoid_1d(const std::vector<double>& positions, int64_t channels) {
  check_channels(channels, 2, "sinusoid_1d");
  Tensor table = Tensor::empty({static_cast<int64_t>(positions.size()), channels});
  float* row = table.data<float>();
  for (const double position : positions) {
    write_sinusoid(position, channels, row);
    row += channels;
  }
  return table;
}

Tensor sinusoid_2d(const std::vector<double>& rows, const std::vector<double>& columns, int64_t channels) {
  check_channels(channels, 4, "sinusoid_2d");
  Tensor table = Tensor::empty({static_cast<int64_t>(rows.size() * columns.size()), channels});
  float* out = table.data<float>();
  for (const double row : rows) {
    for (const double column : columns) {
      write_sinusoid(row, channels / 2, out);
      write_sinusoid(column, channels / 2, out + channels / 2);
      out += channels;
    }
  }
  return table;
}

Tensor pyramid_sinusoid_1d(const std::vector<int64_t>& patch_nums, int64_t channels) {
  std::vector<double> positions(static_cast<size_t>(token_count(patch_nums, "pyramid_sinusoid_1d")));
  std::iota(positions.begin(), positions.end(), 0.0);
  return sinusoid_1d(positions, channels);
}

Tensor pyramid_sinusoid_2d(const std::vector<int64_t>& patch_nums, int64_t channels) {
  return pyramid_grid(patch_nums, channels, "pyramid_sinusoid_2d", [](double i, double) { return i; });
}

Tensor pyramid_sinusoid_2d_scaled(const std::vector<int64_t>& patch_nums, int64_t channels) {
  const double last = patch_nums.empty() ? 1 : static_cast<double>(patch_nums.back());
  return pyramid_grid(patch_nums, channels, "pyramid_sinusoid_2d_scaled",
                      [last](double i, double patch) { return (i + 0.5) * last / patch; });
}

Tensor resize_pyramid_table(const Tensor& table, const std::vector<int64_t>& from, const std::vector<int64_t>& to) {
  const char* op = "resize_pyramid_table";
  check_ndim(table, 2, op, "table");
  if (from.size() != to.size()) {
    throw ShapeError(cat(op, ": both pyramids need the same number of scales, got ", from.size(), " and ", to.size()));
  }
  const int64_t C = table.dim(1);
  check_shape(table, {token_count(from, op), C}, op, "table");
  Tensor resized = Tensor::empty({token_count(to, op), C}, table.dtype());
  int64_t begin_from = 0, begin_to = 0;
  for (size_t s = 0; s < from.size(); ++s) {
    const int64_t p = from[s], q = to[s];
    const Tensor rows = table.slice(0, begin_from, begin_from + p * p);
    Tensor target = resized.slice(0, begin_to, begin_to + q * q);
    if (p == q) {
      target.copy_(rows);
    } else {
      const Tensor map = rows.to(DType::kF64).transpose(0, 1).contiguous().view({1, C, p, p});
      target.copy_(interpolate(map, q, q, Interpolation::kBicubic).view({C, q * q}).transpose(0, 1));
    }
    begin_from += p * p;
    begin_to += q * q;
  }
  return resized;
}

}  // namespace terrace
