// The three resizes to 299 x 299: what tells them apart, on images small enough to compute by hand. How near they come
// to PyTorch and PIL is in procedural_inception.h5.
#include "metrics/inception/resize.h"

#include "tests/support.h"

namespace terrace {
namespace {

/// (1, 1, 2, 3): black, then white.
Tensor step_edge() { return Tensor::from(std::vector<uint8_t>{0, 0, 0, 255, 255, 255}, {1, 1, 2, 3}); }

std::vector<double> row(InceptionResize resize) {
  return inception_resized(step_edge(), resize).select(0, 0).select(0, 0).select(0, 150).to_vector<double>();
}

TEST(InceptionResize, PixelsLieWhereEachEvaluatorPutsThem) {
  const std::vector<double> pytorch = row(InceptionResize::kPytorch), tf1 = row(InceptionResize::kTf1),
                            clean = row(InceptionResize::kClean);
  EXPECT_EQ(pytorch[74], 0);               // the centre of the first pixel is at 299/4 - 1/2 = 74.25
  EXPECT_NEAR(pytorch[149], 127.5, 1e-4);  // half-pixel centres: symmetric
  EXPECT_NEAR(pytorch[100], 255 * (100.5 * 2 / 299 - 0.5), 1e-4);
  EXPECT_NEAR(tf1[100], 255 * (100 * 2.0 / 299), 1e-4);  // the first pixel is at 0
  EXPECT_EQ(tf1[0], 0);
  EXPECT_EQ(tf1[150], 255);  // beyond the last pixel: it
  EXPECT_NEAR(clean[149], 127.5, 1e-4);
  EXPECT_LT(clean[60], 0);  // bicubic overshoots
}

TEST(InceptionResize, InputsHaveTheirEvaluatorsRange) {
  const Tensor white = Tensor::full({1, 5, 7, 3}, 255, DType::kU8), black = Tensor::zeros({1, 5, 7, 3}, DType::kU8);
  const auto value = [](const Tensor& images, InceptionResize resize) {
    const std::vector<double> v = inception_input(images, resize).to_vector<double>();
    for (const double x : v) { EXPECT_NEAR(x, v[0], 1e-6); }
    return v[0];
  };
  for (const auto& [resize, high] : {std::pair{InceptionResize::kPytorch, 1.0},
                                     {InceptionResize::kTf1, 127.0 / 128},
                                     {InceptionResize::kClean, 127.0 / 128}}) {
    EXPECT_NEAR(value(white, resize), high, 1e-6);
    EXPECT_NEAR(value(black, resize), -1, 1e-6);
  }
}

TEST(InceptionResize, CleanIsClippedForTheNetworkAlone) {
  const std::vector<double> v = inception_input(step_edge(), InceptionResize::kClean).to_vector<double>();
  EXPECT_EQ(*std::min_element(v.begin(), v.end()), -1);
  EXPECT_EQ(*std::max_element(v.begin(), v.end()), 127.0 / 128);
}

TEST(InceptionResize, ReducesOnlyCleanWithAntialias) {
  // Alternating columns of black and white, 4 for each output: antialiased they are grey.
  Tensor stripes = Tensor::zeros({1, 4, 4 * 299, 3}, DType::kU8);
  stripes.slice(2, 0, 4 * 299, 2).fill_(255);
  const auto spread = [&](InceptionResize resize) {
    const Tensor middle = inception_resized(stripes, resize).select(0, 0).select(0, 0).select(0, 100).slice(0, 5, 290);
    const std::vector<double> v = middle.to_vector<double>();
    return std::pair{*std::min_element(v.begin(), v.end()), *std::max_element(v.begin(), v.end())};
  };
  EXPECT_NEAR(spread(InceptionResize::kClean).first, 127.5, 1e-3);
  EXPECT_NEAR(spread(InceptionResize::kClean).second, 127.5, 1e-3);
  EXPECT_EQ(spread(InceptionResize::kTf1).first, 255);  // it reads every fourth column
}

TEST(InceptionResize, NamesAndBadInput) {
  for (const InceptionResize resize : {InceptionResize::kPytorch, InceptionResize::kTf1, InceptionResize::kClean}) {
    EXPECT_EQ(inception_resize_from_name(name_of(resize)), resize);
  }
  expect_error<ConfigError>([] { inception_resize_from_name("area"); },
                            "resize \"area\" is not one of pytorch, tf1, clean");
  const auto resized = [](const Tensor& t) { return inception_input(t, InceptionResize::kClean); };
  expect_error<DTypeError>([&] { resized(Tensor::zeros({1, 4, 4, 3})); }, "inception_resized: images must be u8");
  expect_error<ShapeError>(
      [&] {
        resized(Tensor::zeros({1, 3, 4, 4}, DType::kU8));
      },
      "inception_resized: images must be (1, 3, 4, 3)");
  expect_error<ShapeError>([&] { resized(Tensor::zeros({1, 0, 4, 3}, DType::kU8)); }, "images must have pixels");
  EXPECT_EQ(resized(Tensor::zeros({0, 4, 4, 3}, DType::kU8)).shape(), Shape({0, 3, 299, 299}));
}

TEST(InceptionResize, OnADeviceAsOnTheCpu) {
  const Device device = device_from_name("cuda-host");
  for (const Shape& shape : {Shape{2, 5, 7, 3}, Shape{1, 320, 4, 3}}) {
    const Tensor images = random_tensor(shape, 1, 0, 255).to(DType::kU8);
    for (const InceptionResize resize : {InceptionResize::kPytorch, InceptionResize::kTf1, InceptionResize::kClean}) {
      const Tensor actual = inception_input(images.to(device), resize);
      EXPECT_EQ(actual.device(), device);
      EXPECT_NEAR_TENSOR(actual.to(kCpu), inception_input(images, resize), 1e-6) << name_of(resize);
    }
  }
}

}  // namespace
}  // namespace terrace
