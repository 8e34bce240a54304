#include "autograd/ops/interpolate.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "autograd/gradcheck.h"
#include "tests/cuda/parity.h"
#include "tests/support.h"

namespace terrace {
namespace {

constexpr Interpolation kModes[] = {Interpolation::kArea, Interpolation::kBicubic, Interpolation::kBilinear,
                                    Interpolation::kNearest};

TEST(Interpolate, Golden) {
  const GoldenFile golden("ops.h5");
  int count = 0;
  for (const std::string& name : golden.list("cases")) {
    if (!name.starts_with("interp_")) { continue; }
    SCOPED_TRACE(name);
    ++count;
    const auto mode = std::find_if(std::begin(kModes), std::end(kModes), [&](Interpolation m) {
      return name.starts_with(std::string("interp_") + name_of(m));
    });
    ASSERT_NE(mode, std::end(kModes));
    const std::string path = "cases/" + name;
    Variable x(golden.read(path + "/inputs/x"), Requires::kGrad);
    const Tensor expected = golden.read(path + "/outputs/y");
    const Variable y = interpolate(x, expected.dim(2), expected.dim(3), *mode);
    EXPECT_CLOSE(y, expected, 5e-6);
    EXPECT_SAME(interpolate(x.value(), expected.dim(2), expected.dim(3), *mode), y);
    y.backward(golden.read(path + "/inputs/w"));
    EXPECT_CLOSE(x.grad(), golden.read(path + "/grads/x"), 2e-5);
  }
  EXPECT_EQ(count, 15);
}

/// One output of each mode from its two-dimensional definition.
using Reader = std::function<double(int64_t row, int64_t col)>;

double area_at(const Reader& in, int64_t i, int64_t j, int64_t H, int64_t W, int64_t h, int64_t w) {
  double sum = 0, count = 0;
  for (int64_t r = 0; r < H; ++r) {
    for (int64_t c = 0; c < W; ++c) {
      // Cell [r, r+1) overlaps [i*H/h, (i+1)*H/h).
      if (r * h >= (i + 1) * H || (r + 1) * h <= i * H || c * w >= (j + 1) * W || (c + 1) * w <= j * W) { continue; }
      sum += in(r, c);
      ++count;
    }
  }
  return sum / count;
}

double weighted_at(const Reader& in, double y, double x, int64_t H, int64_t W, int64_t first, int64_t last,
                   const std::function<double(double)>& weight) {
  double sum = 0;
  for (int64_t u = first; u <= last; ++u) {
    for (int64_t v = first; v <= last; ++v) {
      const auto r = static_cast<int64_t>(std::floor(y)) + u, c = static_cast<int64_t>(std::floor(x)) + v;
      sum += weight(y - static_cast<double>(r)) * weight(x - static_cast<double>(c)) *
             in(std::clamp<int64_t>(r, 0, H - 1), std::clamp<int64_t>(c, 0, W - 1));
    }
  }
  return sum;
}

double triangle(double d) { return std::max(0.0, 1 - std::abs(d)); }

double keys(double d) {
  const double a = -0.75, t = std::abs(d);
  if (t < 1) { return (a + 2) * t * t * t - (a + 3) * t * t + 1; }
  if (t < 2) { return a * t * t * t - 5 * a * t * t + 8 * a * t - 4 * a; }
  return 0;
}

Tensor reference(const Tensor& x, int64_t h, int64_t w, Interpolation mode) {
  const int64_t H = x.dim(2), W = x.dim(3);
  const std::vector<double> values = x.to_vector<double>();
  std::vector<double> out;
  for (int64_t p = 0; p < x.dim(0) * x.dim(1); ++p) {
    const Reader in = [&](int64_t r, int64_t c) { return values[static_cast<size_t>((p * H + r) * W + c)]; };
    for (int64_t i = 0; i < h; ++i) {
      for (int64_t j = 0; j < w; ++j) {
        const double y = (static_cast<double>(i) + 0.5) * static_cast<double>(H) / static_cast<double>(h) - 0.5;
        const double z = (static_cast<double>(j) + 0.5) * static_cast<double>(W) / static_cast<double>(w) - 0.5;
        switch (mode) {
          case Interpolation::kArea:
            out.push_back(area_at(in, i, j, H, W, h, w));
            break;
          case Interpolation::kBicubic:
            out.push_back(weighted_at(in, y, z, H, W, -1, 2, keys));
            break;
          case Interpolation::kBilinear:
            out.push_back(weighted_at(in, y, z, H, W, 0, 1, triangle));
            break;
          case Interpolation::kNearest:
            out.push_back(in(i * H / h, j * W / w));
            break;
        }
      }
    }
  }
  return Here::from(out, {x.dim(0), x.dim(1), h, w});
}

struct Resize {
  Shape from;
  int64_t height, width;
};

const std::vector<Resize>& resizes() {
  static const std::vector<Resize> all = {{{1, 1, 1, 1}, 1, 1},      {{1, 2, 1, 1}, 7, 2},     {{2, 1, 2, 7}, 1, 1},
                                          {{1, 1, 7, 31}, 31, 7},    {{2, 3, 16, 16}, 13, 13}, {{1, 2, 13, 10}, 16, 16},
                                          {{1, 1, 33, 129}, 2, 129}, {{0, 2, 4, 4}, 8, 8},     {{1, 1, 4, 4}, 8, 2},
                                          {{1, 1, 3, 5}, 129, 33},   {{1, 3, 5, 5}, 5, 5}};
  return all;
}

TEST(Interpolate, AgreesWithTheTwoDimensionalDefinition) {
  for (const Resize& r : resizes()) {
    for (Interpolation mode : kModes) {
      SCOPED_TRACE(cat(r.from, " to ", r.height, "x", r.width, " ", mode));
      const Tensor x = random_tensor(r.from, 5, 999, 1001, DType::kF64);
      const Tensor expected = reference(x, r.height, r.width, mode);
      EXPECT_CLOSE(interpolate(x, r.height, r.width, mode), expected, 1e-13);
      // x and the weights are rounded once each, and two passes of a few terms follow.
      EXPECT_CLOSE(interpolate(x.to(DType::kF32), r.height, r.width, mode).to(DType::kF64), expected, 1e-6);
    }
  }
}

TEST(Interpolate, KeepsConstantsAndTheIdentity) {
  const Tensor x = random_tensor({1, 2, 6, 9}, 1);
  for (Interpolation mode : kModes) {
    EXPECT_SAME(interpolate(x, 6, 9, mode), x);
    EXPECT_CLOSE(interpolate(Here::full({1, 1, 7, 5}, 1e3), 16, 3, mode), Here::full({1, 1, 16, 3}, 1e3), 1e-6);
  }
}

TEST(Interpolate, NearestCopiesBitsEvenOfInfinities) {
  const float inf = std::numeric_limits<float>::infinity();
  const Tensor x = Here::from(std::vector<float>{inf, 1, -inf, 3}, {1, 1, 2, 2});
  EXPECT_SAME(interpolate(x, 4, 2, Interpolation::kNearest),
              Here::from(std::vector<float>{inf, 1, inf, 1, -inf, 3, -inf, 3}, {1, 1, 4, 2}));
}

TEST(Interpolate, Gradcheck) {
  for (const Resize& r : resizes()) {
    if (r.from.numel() == 0 || r.from.numel() > 300) { continue; }
    for (Interpolation mode : kModes) {
      SCOPED_TRACE(cat(r.from, " to ", r.height, "x", r.width, " ", mode));
      gradcheck("interpolate",
                [&](const std::vector<Variable>& in) { return interpolate(in[0], r.height, r.width, mode); },
                {random_tensor(r.from, 7, -1, 1, DType::kF64)});
    }
  }
}

TEST(Interpolate, StridedInputsAndBf16) {
  const Tensor x = random_tensor({2, 9, 7, 3}, 1).permute({0, 3, 1, 2});
  for (Interpolation mode : kModes) {
    EXPECT_SAME(interpolate(x, 5, 11, mode), interpolate(x.clone(), 5, 11, mode));
    const Tensor low = x.to(DType::kBF16);
    EXPECT_SAME(interpolate(low, 5, 11, mode), interpolate(low.to(DType::kF32), 5, 11, mode).to(DType::kBF16));
  }
}

TEST(Interpolate, SaysWhatIsWrong) {
  const Tensor x = Here::zeros({1, 2, 4, 4});
  expect_error<ShapeError>([&] { interpolate(Here::zeros({4, 4}), 2, 2, Interpolation::kArea); }, "interpolate");
  expect_error<ShapeError>([&] { interpolate(x, 0, 2, Interpolation::kArea); },
                           "needs at least one row and column, got x (1, 2, 4, 4) to 0x2");
  expect_error<ShapeError>(
      [&] {
        interpolate(Here::zeros({1, 2, 0, 4}), 2, 2, Interpolation::kNearest);
      },
      "at least one row");
  expect_error<DTypeError>(
      [&] {
        interpolate(Here::zeros({1, 1, 2, 2}, DType::kU8), 4, 4, Interpolation::kArea);
      },
      "interpolate");
}

TEST(CudaInterpolate, AsOnTheCpu) {
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
