#include "var/tokenizer/codebook.h"

#include <cmath>

#include "tests/support.h"

namespace terrace {
namespace {

// Rows around `count` centres far apart, in turn.
Tensor clustered(int64_t rows, int64_t count, uint64_t seed) {
  Tensor x = random_tensor({rows, 2}, seed, -0.1, 0.1);
  for (int64_t n = 0; n < rows; ++n) { x.data<float>()[2 * n] += static_cast<float>(10 * (n % count)); }
  return x;
}

TEST(Kmeans, FindsSeparateClusters) {
  Generator g(3);
  const Tensor centres = kmeans(clustered(400, 4, 1), 4, 10, g);
  std::vector<double> at;
  for (int64_t v = 0; v < 4; ++v) { at.push_back(centres.select(0, v).select(0, 0).item<double>()); }
  std::sort(at.begin(), at.end());
  for (int v = 0; v < 4; ++v) { EXPECT_NEAR(at[static_cast<size_t>(v)], 10 * v, 0.1); }
}

TEST(Kmeans, RepeatsItselfAndTakesFewRows) {
  Generator a(7), b(7);
  const Tensor rows = random_tensor({50, 3}, 2);
  EXPECT_SAME(kmeans(rows, 8, 3, a), kmeans(rows, 8, 3, b));
  EXPECT_EQ(kmeans(random_tensor({3, 2}, 1), 5, 2, a).shape(), (Shape{5, 2}));
  expect_error<ShapeError>([&] { kmeans(Tensor::zeros({0, 2}), 5, 2, a); }, "N > 0");
}

TEST(CodeUse, CountsPerScale) {
  const Pyramid pyramid({1, 2});
  const Tensor indices = Tensor::from(std::vector<int64_t>{3, 0, 0, 1, 1, 3, 0, 1, 0, 1}, {2, 5});
  const Tensor hits = count_hits(indices, pyramid, 4);
  EXPECT_SAME(hits, Tensor::from(std::vector<float>{0, 0, 0, 2, 4, 4, 0, 0}, {2, 4}));
  const CodeUse use = code_use(hits, 0);
  EXPECT_DOUBLE_EQ(use.usage[0], 0.25);
  EXPECT_DOUBLE_EQ(use.usage[1], 0.5);
  EXPECT_DOUBLE_EQ(use.any, 0.75);
  EXPECT_NEAR(use.perplexity[0], 1, 1e-12);
  EXPECT_NEAR(use.perplexity[1], 2, 1e-12);
}

TEST(CodeClock, FindsIdleCodes) {
  CodeClock clock(3);
  clock.observe(Tensor::from(std::vector<float>{1, 0, 0}, {1, 3}), 5);
  EXPECT_EQ(clock.idle(6, 6), (std::vector<int64_t>{1, 2}));
  clock.restart(1, 6);
  EXPECT_EQ(clock.idle(6, 6), (std::vector<int64_t>{2}));
}

TEST(ReseedCodes, TakesRowsThatAreFarFromTheirCodes) {
  const Pyramid pyramid({1});
  Tensor codebook = Tensor::from(std::vector<float>{0, 50, 60}, {3, 1});
  const Tensor rows = Tensor::from(std::vector<float>{0, 0, 9, 0}, {4, 1});
  const Tensor indices = Tensor::zeros({4, 1}, DType::kI64);
  Generator g(1);
  reseed_codes(codebook, {1, 2}, {rows}, indices, pyramid, g);
  EXPECT_SAME(codebook, Tensor::from(std::vector<float>{0, 9, 9}, {3, 1}));
}

}  // namespace
}  // namespace terrace
