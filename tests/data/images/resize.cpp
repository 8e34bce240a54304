#include "data/images/resize.h"

#include <cmath>
#include <numbers>

#include "tests/data/images/pictures.h"
#include "tests/support.h"

namespace terrace {
namespace {

constexpr ResizeFilter kFilters[] = {ResizeFilter::kBox, ResizeFilter::kBilinear, ResizeFilter::kBicubic,
                                     ResizeFilter::kLanczos};

double weight(ResizeFilter filter, double x) {
  const double t = std::abs(x), pi = std::numbers::pi;
  switch (filter) {
    case ResizeFilter::kBox:
      return x > -0.5 && x <= 0.5;
    case ResizeFilter::kBilinear:
      return t < 1 ? 1 - t : 0;
    case ResizeFilter::kBicubic:
      return t < 1 ? 1.5 * t * t * t - 2.5 * t * t + 1 : t < 2 ? -0.5 * t * t * t + 2.5 * t * t - 4 * t + 2 : 0;
    case ResizeFilter::kLanczos:
      return t < 1e-9 ? 1 : t < 3 ? 3 * std::sin(pi * t) * std::sin(pi * t / 3) / (pi * pi * t * t) : 0;
  }
  return 0;
}

/// The formula of image_resize.h over all pairs of samples, in double.
std::vector<double> resized(const Tensor& image, int64_t height, int64_t width, ResizeFilter filter) {
  const int64_t H = image.dim(0), W = image.dim(1);
  const auto line = [&](int64_t in, int64_t out, int64_t i) {
    const double ratio = static_cast<double>(in) / static_cast<double>(out), scale = std::max(ratio, 1.0);
    std::vector<double> weights;
    double sum = 0;
    for (int64_t j = 0; j < in; ++j) {
      weights.push_back(
          weight(filter, (static_cast<double>(j) + 0.5 - (static_cast<double>(i) + 0.5) * ratio) / scale));
      sum += weights.back();
    }
    for (double& w : weights) { w /= sum; }
    return weights;
  };
  std::vector<double> out;
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      const std::vector<double> down = line(H, height, y), across = line(W, width, x);
      for (int64_t c = 0; c < 3; ++c) {
        double value = 0;
        for (int64_t j = 0; j < H; ++j) {
          for (int64_t i = 0; i < W; ++i) {
            value += down[static_cast<size_t>(j)] * across[static_cast<size_t>(i)] *
                     image.data<uint8_t>()[(j * W + i) * 3 + c];
          }
        }
        out.push_back(std::clamp(value, 0.0, 255.0));
      }
    }
  }
  return out;
}

Tensor noise(int64_t height, int64_t width) {
  Tensor image = smooth_picture(height, width);
  for (int64_t i = 0; i < image.numel(); ++i) { image.data<uint8_t>()[i] = static_cast<uint8_t>(i * 7919 % 251); }
  return image;
}

TEST(ImageResize, IsItsFormula) {
  for (const ResizeFilter filter : kFilters) {
    for (const auto& [from, to] : {std::pair{Shape{9, 13}, Shape{4, 5}},
                                   {Shape{4, 5}, Shape{9, 13}},
                                   {Shape{7, 31}, Shape{12, 10}},
                                   {Shape{1, 1}, Shape{3, 2}},
                                   {Shape{33, 2}, Shape{1, 1}}}) {
      const Tensor image = noise(from[0], from[1]);
      const Tensor out = resize(image, to[0], to[1], filter);
      const std::vector<double> expected = resized(image, to[0], to[1], filter);
      ASSERT_EQ(out.shape(), (Shape{to[0], to[1], 3}));
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(out.data<uint8_t>()[i], expected[i], 0.501) << name_of(filter) << " at " << i;
      }
    }
  }
}

TEST(ImageResize, KeepsWhatItShould) {
  for (const ResizeFilter filter : kFilters) {
    const Tensor flat = Tensor::full({50, 40, 3}, 77, DType::kU8);
    EXPECT_SAME(resize(flat, 13, 90, filter), Tensor::full({13, 90, 3}, 77, DType::kU8));
    EXPECT_SAME(resize(noise(17, 9), 17, 9, filter), noise(17, 9));
  }
}

TEST(ImageResize, ShortSideAndCrop) {
  const Tensor wide = noise(30, 50), tall = noise(50, 30);
  EXPECT_EQ(resize_short_side(wide, 12, ResizeFilter::kLanczos).shape(), (Shape{12, 20, 3}));
  EXPECT_EQ(resize_short_side(tall, 12, ResizeFilter::kLanczos).shape(), (Shape{20, 12, 3}));
  EXPECT_EQ(resize_short_side(noise(3, 1000), 2, ResizeFilter::kBox).shape(), (Shape{2, 667, 3}));
  for (const Tensor& image : {wide, tall, noise(20, 20)}) {
    for (const ResizeFilter filter : kFilters) {
      EXPECT_SAME(resize_and_crop(image, 13, filter), center_crop(resize_short_side(image, 13, filter), 13, 13));
    }
  }
  EXPECT_SAME(center_crop(wide, 10, 10), wide.slice(0, 10, 20).slice(1, 20, 30).contiguous());
}

TEST(ImageResize, RefusesWhatItCannotDo) {
  expect_error<ShapeError>([] { center_crop(noise(4, 4), 5, 4); }, "cannot take 5 x 4 out of 4 x 4");
  expect_error<ShapeError>([] { resize(noise(4, 4), 0, 4, ResizeFilter::kBox); }, "positive, got 0 x 4");
  expect_error<ShapeError>([] { resize(Tensor::zeros({4, 4}, DType::kU8), 2, 2, ResizeFilter::kBox); }, "(H, W, 3)");
  expect_error<DTypeError>([] { resize(Tensor::zeros({4, 4, 3}), 2, 2, ResizeFilter::kBox); }, "u8");
  expect_error<ConfigError>([] { resize_filter_from_name("sharp"); },
                            "\"sharp\" is not one of box, bilinear, bicubic, lanczos");
  EXPECT_EQ(resize_filter_from_name("bicubic"), ResizeFilter::kBicubic);
}

}  // namespace
}  // namespace terrace
