// Checks derivatives against central differences.
#pragma once

#include <functional>
#include <vector>

#include "autograd/variable.h"

namespace terrace {

struct GradcheckOptions {
  double step = 1e-6;  // relative to max(1, |x|)
  double rtol = 1e-6;
  double atol = 1e-7;        // differences of f64 sums carry about eps |f| / step
  int64_t exhaustive = 200;  // inputs of at most this many elements are checked one by one,
  int64_t directions = 8;    // larger ones along this many random directions
  uint64_t seed = 1;         // of the cotangent and the directions
};

/// Compares the gradient of sum(fn(inputs) * w), w random, with central differences, in f64. An element is right where
/// |analytic - numeric| <= atol + rtol * max(|numeric|, largest |numeric| of that input).
/// Throws AutogradError naming the function, the argument, the index and both values; DTypeError unless inputs are f64.
void gradcheck(const char* name, const std::function<Variable(const std::vector<Variable>&)>& fn,
               const std::vector<Tensor>& inputs, const GradcheckOptions& options = {});

}  // namespace terrace
