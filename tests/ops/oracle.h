// Comparing a fused op with the same thing spelled in plain ops, value and gradients.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "autograd/functions.h"
#include "autograd/gradcheck.h"
#include "tests/support.h"

namespace terrace {

using Function = std::function<Variable(const std::vector<Variable>&)>;

/// Gradients of sum(f(inputs) * cotangent) for a fixed random cotangent, one per input.
inline std::vector<Tensor> gradients_of(const Function& f, const std::vector<Variable>& inputs) {
  const Variable y = f(inputs);
  return grad({y}, inputs, {random_tensor(y.shape(), 99, -1, 1, y.dtype())});
}

/// f and its oracle must agree, forward within `value_tolerance`, gradients within `gradient_tolerance`.
inline void expect_matches(const Function& f, const Function& oracle, const std::vector<Variable>& inputs,
                           double value_tolerance, double gradient_tolerance) {
  EXPECT_CLOSE(f(inputs), oracle(inputs), value_tolerance);
  const std::vector<Tensor> actual = gradients_of(f, inputs);
  const std::vector<Tensor> expected = gradients_of(oracle, inputs);
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_CLOSE(actual[i], expected[i], gradient_tolerance) << "gradient of input " << i;
  }
}

/// gradcheck at the values of `inputs`, f64.
inline void expect_gradcheck(const char* name, const Function& f, const std::vector<Variable>& inputs) {
  std::vector<Tensor> values;
  for (const Variable& v : inputs) { values.push_back(v.value()); }
  EXPECT_NO_THROW(gradcheck(name, f, values));
}

/// Value and gradients must have the same bits with one thread and with several.
inline void expect_independent_of_threads(const Function& f, const std::vector<Variable>& inputs) {
  const int before = threads();
  set_threads(1);
  const Tensor value = f(inputs).value();
  const std::vector<Tensor> gradient = gradients_of(f, inputs);
  for (const int count : {2, 3}) {
    set_threads(count);
    EXPECT_SAME(f(inputs).value(), value) << count << " threads";
    const std::vector<Tensor> other = gradients_of(f, inputs);
    for (size_t i = 0; i < inputs.size(); ++i) {
      EXPECT_SAME(other[i], gradient[i]) << count << " threads, input " << i;
    }
  }
  set_threads(before);
}

/// The function of bf16 inputs must be what f32 makes of them, up to the rounding of the results.
inline void expect_bf16_matches(const Function& f, const std::vector<Variable>& inputs, double tolerance = 8e-3) {
  std::vector<Variable> half, single;
  for (const Variable& v : inputs) {
    half.emplace_back(v.value().to(DType::kBF16), Requires::kGrad);
    single.emplace_back(half.back().value().to(DType::kF32), Requires::kGrad);
  }
  EXPECT_CLOSE(f(half).value().to(DType::kF32), f(single), tolerance);
  const Variable y = f(half);
  const Tensor cotangent = random_tensor(y.shape(), 99, -1, 1, y.dtype());
  const std::vector<Tensor> actual = grad({y}, half, {cotangent});
  const std::vector<Tensor> expected = grad({f(single)}, single, {cotangent.to(DType::kF32)});
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_EQ(actual[i].dtype(), DType::kBF16);
    EXPECT_CLOSE(actual[i].to(DType::kF32), expected[i], tolerance) << "gradient of input " << i;
  }
}

}  // namespace terrace
