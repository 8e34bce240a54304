#include "experiments/evaluation/self_check.h"

#include <cmath>

#include "metrics/frechet.h"
#include "metrics/inception_score.h"
#include "metrics/kernel_distance.h"
#include "metrics/manifold.h"
#include "metrics/symmetric.h"
#include "tensor/matmul.h"
#include "tensor/random.h"

namespace terrace {
namespace {

constexpr int64_t kDim = 64;

Tensor features(int64_t count, uint64_t stream, double scale = 1, double mean = 0) {
  Generator g(0, stream);
  Tensor x = Tensor::empty({count, kDim}, DType::kF64);
  normal_(x, mean, scale, g);
  return x;
}

Tensor in_order(const Tensor& x, const std::vector<int64_t>& order) { return MemoryRows(x).gather(order); }

class Checks {
 public:
  void near(const std::string& what, double value, double expected, double allowed) {
    rows_.push_back({what, value, expected, allowed, std::abs(value - expected) <= allowed});
  }
  void differs(const std::string& what, double value, double other, double min_difference) {
    rows_.push_back({what, value, other, min_difference, std::abs(value - other) >= min_difference});
  }
  std::vector<SelfCheck> rows() { return std::move(rows_); }

 private:
  std::vector<SelfCheck> rows_;
};

void check_frechet(Checks& checks) {
  const Tensor x = features(500, 1), y = features(400, 2, 1.5, 0.2);
  const Gaussian of_x = gaussian_of(x), of_y = gaussian_of(y);
  checks.near("FID(x, x) is 0", frechet_distance(of_x, of_x), 0, 1e-9);
  const Gaussian few = gaussian_of(x.slice(0, 0, 20));
  checks.near("FID(x, x) is 0, 20 samples in 64 dimensions", frechet_distance(few, few), 0, 1e-9);

  Gaussian a{.mean = Tensor::zeros({kDim}, DType::kF64), .covariance = Tensor::zeros({kDim, kDim}, DType::kF64)};
  Gaussian b{.mean = Tensor::full({kDim}, 0.5, DType::kF64), .covariance = Tensor::zeros({kDim, kDim}, DType::kF64)};
  for (int64_t i = 0; i < kDim; ++i) {
    a.covariance.data<double>()[i * (kDim + 1)] = 4;
    b.covariance.data<double>()[i * (kDim + 1)] = 9;
  }
  checks.near("N(0, 4) and N(0.5, 9) in 64 dimensions: 64 (0.25 + 1)", frechet_distance(a, b), kDim * 1.25, 1e-9);

  const Tensor rotation = symmetric_eigen(gaussian_of(features(200, 3)).covariance).vectors;
  const double distance = frechet_distance(of_x, of_y);
  checks.near("FID after a random rotation of the features",
              frechet_distance(gaussian_of(matmul(x, rotation)), gaussian_of(matmul(y, rotation))), distance,
              1e-9 * distance);
  const std::vector<int64_t> order = random_permutation(y.dim(0), Generator(0, 4));
  checks.near("FID of the images in another order", frechet_distance(of_x, gaussian_of(in_order(y, order))), distance,
              1e-9 * distance);
}

/// Images sorted by class: a split holds few classes, and scores less.
void check_order_of_score(Checks& checks) {
  constexpr int64_t kCount = 1000, kClasses = 10;
  Tensor logits = Tensor::zeros({kCount, kClasses}, DType::kF64);
  for (int64_t i = 0; i < kCount; ++i) { logits.data<double>()[i * kClasses + i * kClasses / kCount] = 5; }
  const Tensor mixed = in_order(logits, random_permutation(kCount, Generator(0, 5)));
  const double sorted = inception_score(MemoryRows(logits), 10).mean;
  checks.near("IS of images sorted by class, a class a split", sorted, 1, 1e-9);
  checks.differs("IS of the same images mixed is another", inception_score(MemoryRows(mixed), 10).mean, sorted, 1);
  checks.near("IS in one split does not depend on the order", inception_score(MemoryRows(mixed), 1).mean,
              inception_score(MemoryRows(logits), 1).mean, 1e-9);
}

void check_pairs(Checks& checks) {
  const MemoryRows x(features(600, 6)), same(features(600, 7)), far(features(600, 8, 1, 3));
  checks.near("KID of two draws of one distribution", kernel_distance(x, same), 0, 0.1);
  const ManifoldScores self = manifold_scores(x, x), apart = manifold_scores(x, far);
  checks.near("precision of a set and itself", self.precision, 1, 0);
  checks.near("recall of a set and itself", self.recall, 1, 0);
  checks.near("coverage of a set and itself", self.coverage, 1, 0);
  checks.near("precision of sets far apart", apart.precision, 0, 0);
}

}  // namespace

std::vector<SelfCheck> self_check() {
  Checks checks;
  check_frechet(checks);
  check_order_of_score(checks);
  check_pairs(checks);
  return checks.rows();
}

}  // namespace terrace
