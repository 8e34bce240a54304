#include "data/datasets/procedural.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "data/datasets/image_dataset.h"
#include "data/images/pixels.h"
#include "tests/support.h"

namespace terrace {
namespace {

/// Gaussian blur and noise of the given deviations (pixels; share of white), as a tokenizer leaves them.
Tensor degrade(const Tensor& image, double blur, double noise, uint64_t seed) {
  constexpr int kReach = 3, kSide = 32;
  double weights[2 * kReach + 1], sum = 0;
  for (int i = -kReach; i <= kReach; ++i) { sum += weights[i + kReach] = std::exp(-i * i / (2 * blur * blur)); }
  std::vector<double> from(image.data<uint8_t>(), image.data<uint8_t>() + image.numel()), to(from.size());
  for (const bool vertical : {false, true}) {
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) {
        for (int c = 0; c < 3; ++c) {
          double value = 0;
          for (int i = -kReach; i <= kReach; ++i) {
            const int row = std::clamp(vertical ? y + i : y, 0, kSide - 1);
            const int column = std::clamp(vertical ? x : x + i, 0, kSide - 1);
            value += weights[i + kReach] / sum * from[static_cast<size_t>((row * kSide + column) * 3 + c)];
          }
          to[static_cast<size_t>((y * kSide + x) * 3 + c)] = value;
        }
      }
    }
    std::swap(from, to);
  }
  Generator draws(seed, 99);
  Tensor out = Tensor::empty(image.shape(), DType::kU8);
  for (size_t i = 0; i < from.size(); ++i) {
    const double normal =
        std::sqrt(-2 * std::log(1 - draws.next_uniform())) * std::cos(6.283185307 * draws.next_uniform());
    out.data<uint8_t>()[i] = static_cast<uint8_t>(std::lround(std::clamp(from[i] + 255 * noise * normal, 0.0, 255.0)));
  }
  return out;
}

TEST(Procedural, RuleAgreesWithTheLabelOfCleanImages) {
  int right = 0;
  constexpr int kCount = 1600;
  for (int64_t i = 0; i < kCount; ++i) {
    const ProceduralVerdict verdict = inspect_procedural(generate_procedural(11, i, procedural_label(i)));
    right += verdict.label == procedural_label(i);
    EXPECT_GT(verdict.confidence, 0.8);
  }
  EXPECT_GE(right, 0.995 * kCount);
}

TEST(Procedural, RuleStandsBlurAndNoise) {
  constexpr int kCount = 480;
  const std::pair<double, double> levels[] = {{0.6, 0.02}, {0.8, 0.03}, {1.0, 0.04}, {0.5, 0.06}};
  for (const auto& [blur, noise] : levels) {
    int right = 0;
    for (int64_t i = 0; i < kCount; ++i) {
      const Tensor image = generate_procedural(12, i, procedural_label(i));
      right += classify_procedural(degrade(image, blur, noise, static_cast<uint64_t>(i))) == procedural_label(i);
    }
    EXPECT_GT(right, 0.95 * kCount) << "blur " << blur << ", noise " << noise;
  }
}

int64_t class_of(const Figure& figure, uint64_t seed = 1) {
  Generator draws(seed);
  return classify_procedural(draw_figure(figure, draws));
}

TEST(Procedural, RuleRefusesWhatIsNoClass) {
  using enum FigureShape;
  using enum FigureColor;
  EXPECT_EQ(class_of({.shape = kDisc, .color = kRed, .x = 8, .y = 8}), 0);
  EXPECT_EQ(class_of({.shape = kTriangle, .color = kBlue, .x = 24, .y = 24}), 15);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(class_of({.shape = kDisc, .color = kBlue, .x = 8, .y = 8}, seed), -1);
    EXPECT_EQ(class_of({.shape = kTriangle, .color = kRed, .x = 8, .y = 8}, seed), -1);
    EXPECT_EQ(class_of({.shape = kDisc, .color = kRed, .x = 16, .y = 8}, seed), -1);
    EXPECT_EQ(class_of({.shape = kSquare, .color = kRed, .x = 8, .y = 15}, seed), -1);
    EXPECT_EQ(class_of({.shape = kDisc, .color = kRed, .x = 8, .y = 8, .radius = 1.5}, seed), -1);
    EXPECT_EQ(class_of({.shape = kDisc, .color = kRed, .x = 10, .y = 10, .radius = 10}, seed), -1);
    EXPECT_EQ(class_of({.shape = kTriangle, .color = kBlue, .x = 24, .y = 24, .angle = 3.14159}, seed), -1);
  }
  EXPECT_EQ(classify_procedural(Tensor::full({32, 32, 3}, 128, DType::kU8)), -1);
  EXPECT_EQ(classify_procedural(Tensor::full({3, 32, 32}, std::nan(""))), -1);

  // Two figures at once.
  Generator draws(3);
  const Tensor left = draw_figure({.x = 8, .y = 8}, draws), right = draw_figure({.x = 24, .y = 24}, draws);
  Tensor both = left.clone();
  std::memcpy(both.data<uint8_t>() + 16 * 96, right.data<uint8_t>() + 16 * 96, 16 * 96);
  EXPECT_EQ(classify_procedural(both), -1);

  // Noise alone.
  Generator noise(4);
  EXPECT_EQ(classify_procedural(rand({3, 32, 32}, noise)), -1);
}

TEST(Procedural, FloatsAreJudgedAsBytesAre) {
  for (int64_t i = 0; i < 32; ++i) {
    const Tensor image = generate_procedural(13, i, procedural_label(i));
    const ProceduralVerdict bytes = inspect_procedural(image);
    const ProceduralVerdict floats = inspect_procedural(images_to_float(image.unsqueeze(0)).select(0, 0));
    EXPECT_EQ(bytes.label, floats.label);
    EXPECT_NEAR(bytes.confidence, floats.confidence, 1e-4);
  }
  expect_error<ShapeError>([] { inspect_procedural(Tensor::zeros({32, 32, 3})); }, "(32, 32, 3) f32");
}

TEST(Procedural, IsAFunctionOfSeedIndexAndLabel) {
  EXPECT_SAME(generate_procedural(1, 5, 5), generate_procedural(1, 5, 5));
  EXPECT_GT(absolute_error(generate_procedural(1, 5, 5), generate_procedural(2, 5, 5)), 0);
  EXPECT_GT(absolute_error(generate_procedural(1, 5, 5), generate_procedural(1, 21, 5)), 0);
  expect_error<IndexError>([] { generate_procedural(1, 0, 16); }, "label 16; there are 16 classes");
  const auto& names = procedural_class_names();
  EXPECT_EQ(names.size(), static_cast<size_t>(kProceduralClasses));
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
  EXPECT_EQ(names[0], "red disc top left");
  for (const std::string& name : names) {
    EXPECT_EQ(name.find(','), std::string::npos) << "lists of classes are split there";
  }
  EXPECT_EQ(names[15], "blue triangle bottom right");
}

TEST(Procedural, DatasetIsReproducibleAndItsSplitsDiffer) {
  const TemporaryFolder folder;
  int64_t heard = 0;
  const auto progress = [&](int64_t done, int64_t total) {
    EXPECT_EQ(total, 64);
    heard = done;
  };
  create_procedural(folder / "a.h5", {.seed = 3, .train = 48, .test = 16}, progress);
  create_procedural(folder / "b.h5", {.seed = 3, .train = 48, .test = 16, .compression = Compression::kGzip}, progress);
  EXPECT_EQ(heard, 64);
  const ImageDataset a = ImageDataset::open(folder / "a.h5"), b = ImageDataset::open(folder / "b.h5");
  EXPECT_EQ(a.content_hash(), b.content_hash());
  EXPECT_SAME(a.image(17), generate_procedural(3, 17, 1));
  EXPECT_EQ(a.labels().to_vector<int64_t>()[17], 1);
  const ImageDataset test = ImageDataset::open(folder / "a.h5", "test");
  EXPECT_EQ(test.size(), 16);
  EXPECT_GT(absolute_error(test.images(0, 16), a.images(0, 16)), 0);
  expect_error<ConfigError>([&] { create_procedural(folder / "c.h5", {.train = 0}, progress); }, "cannot make 0");
}

}  // namespace
}  // namespace terrace
