// Choosing on the device: the same elements as on the CPU, ties and NaN among them, under every schedule.
#include "tests/cuda/parity.h"

namespace terrace {
namespace {

constexpr uint64_t kSeeds[] = {0, 1, 2};
constexpr DType kDTypes[] = {DType::kF32, DType::kF64, DType::kBF16};

/// f(device) on the CPU, and the same bits on the executor under every schedule.
template <class F>
void expect_same(const F& f) {
  const Tensor expected = f(kCpu);
  for (const uint64_t seed : kSeeds) {
    const executor::Schedule schedule(seed);
    EXPECT_SAME(f(executor_device()).to(kCpu), expected) << "schedule " << seed;
  }
}

/// Few different values, so that many are equal; some NaN, -0, -inf.
Tensor crowded(const Shape& shape, uint64_t seed, DType dtype = DType::kF32) {
  const Tensor x = random_tensor(shape, seed, -3, 3);
  float* values = x.data<float>();
  for (int64_t i = 0; i < x.numel(); ++i) {
    values[i] = std::round(values[i]);
    if (i % 37 == 5) { values[i] = NAN; }
    if (i % 41 == 6) { values[i] = -0.0f; }
    if (i % 43 == 7) { values[i] = -INFINITY; }
  }
  return x.to(dtype);
}

Tensor indices_below(int64_t bound, const Shape& shape) {
  Tensor index = Tensor::empty(shape, DType::kI64);
  for (int64_t i = 0; i < index.numel(); ++i) { index.data<int64_t>()[i] = (i * 13 + i / 29 + 3) % bound; }
  return index;
}

TEST(CudaSelection, Where) {
  for (const Shape& shape : {Shape{0}, Shape{5}, Shape{3, 129}, Shape{16, 64}}) {
    const Tensor condition = indices_below(2, shape).to(DType::kU8);
    expect_parity(
        [&](const std::vector<Variable>& in) { return where(condition.to(in[0].value().device()), in[0], in[1]); },
        {shape, {1}});
  }
}

TEST(CudaSelection, Gather) {
  // Few indices of a column are walked, many are sorted first, beyond 2048 in several stretches.
  const auto expect = [](const Shape& x, int64_t dim, const Shape& index_shape) {
    const Tensor index = indices_below(x[dim], index_shape);
    expect_parity([&](const std::vector<Variable>& in) { return gather(in[0], dim, index.to(in[0].value().device())); },
                  {x});
  };
  expect({3, 7}, 1, {3, 1});
  expect({2, 5, 33}, 1, {2, 64, 33});
  expect({2, 40, 3}, 1, {2, 65, 3});  // an element is read about twice: in bf16 the CPU rounds every sum
  expect({1, 3000}, 1, {1, 4500});
}

TEST(CudaSelection, CumulativeSum) {
  for (const Shape& shape : {Shape{1}, Shape{3, 33}, Shape{2, 129}, Shape{2, 2100}}) {
    expect_parity([](const std::vector<Variable>& in) { return cumsum(in[0], -1); }, {shape});
  }
  expect_parity([](const std::vector<Variable>& in) { return cumsum(in[0], 1); }, {{2, 9, 35}});
}

TEST(CudaSelection, SortAndTopk) {
  for (const DType dtype : kDTypes) {
    for (const Shape& shape : {Shape{3, 1}, Shape{2, 31}, Shape{2, 130}, Shape{1, 2048}, Shape{2, 6500}}) {
      const Tensor x = crowded(shape, 1, dtype);
      for (const SortOrder order : {SortOrder::kAscending, SortOrder::kDescending}) {
        expect_same([&](Device device) { return sort(Variable(x.to(device)), order).indices; });
      }
      expect_same([&](Device device) { return topk(Variable(x.to(device)), (shape[1] + 2) / 3).indices; });
    }
  }
  expect_parity([](const std::vector<Variable>& in) { return sort(in[0]).values; }, {{2, 300}});
  expect_parity([](const std::vector<Variable>& in) { return topk(in[0], 7).values; }, {{3, 130}});
}

TEST(CudaSelection, Extremes) {
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kBF16, DType::kI64}) {
    for (const Shape& shape : {Shape{3, 1, 1}, Shape{2, 31, 1}, Shape{4, 33, 5}, Shape{1, 2100, 1}}) {
      const Tensor x = dtype == DType::kI64 ? indices_below(5, shape) : crowded(shape, 2, dtype);
      expect_same([&](Device device) { return argmax(x.to(device), 1); });
      expect_same([&](Device device) { return argmin(x.to(device), 1); });
    }
  }
}

/// The nearest rows by the definition, in f64.
std::vector<int64_t> nearest_by_definition(const Tensor& x, const Tensor& codes) {
  const std::vector<double> a = x.to_vector<double>(), b = codes.to_vector<double>();
  const auto cols = static_cast<size_t>(x.dim(1));
  std::vector<int64_t> result;
  for (size_t r = 0; r < a.size() / cols; ++r) {
    int64_t best = 0;
    double least = INFINITY;
    for (size_t v = 0; v < b.size() / cols; ++v) {
      double distance = 0;
      for (size_t c = 0; c < cols; ++c) {
        distance += (a[r * cols + c] - b[v * cols + c]) * (a[r * cols + c] - b[v * cols + c]);
      }
      if (distance < least) {
        least = distance;
        best = static_cast<int64_t>(v);
      }
    }
    result.push_back(best);
  }
  return result;
}

TEST(CudaSelection, NearestCode) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const auto& [rows, codes, cols] : {std::array<int64_t, 3>{1, 1, 1}, {65, 63, 3}, {70, 200, 33}}) {
      // Small integers: products are exact, and many codes are equally near, so that ties are decided.
      Tensor x = crowded({rows, cols}, 3), table = crowded({codes, cols}, 4);
      for (Tensor* t : {&x, &table}) {
        for (int64_t i = 0; i < t->numel(); ++i) {
          if (!std::isfinite(t->data<float>()[i])) { t->data<float>()[i] = 1; }
        }
      }
      x = x.to(dtype);
      table = table.to(dtype);
      EXPECT_EQ(nearest_code(x.to(executor_device()), table.to(executor_device())).to_vector<int64_t>(),
                nearest_by_definition(x, table));
      expect_same([&](Device device) { return nearest_code(x.to(device), table.to(device)); });
      const Tensor far = random_tensor({rows, cols}, 5, -1, 1, dtype),
                   near = random_tensor({codes, cols}, 6, -1, 1, dtype);
      expect_same([&](Device device) { return nearest_code(far.to(device), near.to(device), CodeDistance::kCosine); });
    }
  }
}

TEST(CudaSelection, NearestCodeOfNan) {
  const Tensor x = random_tensor({3, 5}, 1), table = random_tensor({70, 5}, 2);
  x.data<float>()[7] = NAN;          // the second row: no distance is a number, and the first code is taken
  table.data<float>()[5 * 9] = NAN;  // code 9 is never near
  expect_same([&](Device device) { return nearest_code(x.to(device), table.to(device)); });
}

}  // namespace
}  // namespace terrace
