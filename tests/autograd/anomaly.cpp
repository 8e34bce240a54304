// Anomaly mode names the op that made the first NaN, and the direction.
#include <cmath>

#include "autograd/functions.h"
#include "autograd/node.h"
#include "tests/support.h"

namespace terrace {
namespace {

TEST(Anomaly, NamesTheOpOfTheForwardPass) {
  const Variable x(Tensor::full({2}, -1), Requires::kGrad);
  const AnomalyMode anomaly;
  expect_error<AutogradError>([&] { sum(exp(log(x))); }, "log");
  expect_error<AutogradError>([&] { sum(exp(log(x))); }, "forward");
}

TEST(Anomaly, NamesTheOpOfTheBackwardPass) {
  const Variable x(Tensor::zeros({2}), Requires::kGrad);
  const AnomalyMode anomaly;
  const Variable y = sum(sqrt(x) * 0.0);  // d sqrt at 0 is infinite, times 0 is NaN
  expect_error<AutogradError>([&] { y.backward(); }, "sqrt");
  const Variable z = sum(sqrt(x) * 0.0);
  expect_error<AutogradError>([&] { z.backward(); }, "backward");
}

TEST(Anomaly, IsSilentWithoutItAndWithoutNaN) {
  const Variable x(Tensor::full({2}, -1), Requires::kGrad);
  {
    const AnomalyMode anomaly;
    sum(exp(x)).backward();
  }
  sum(log(x)).backward();
}

TEST(Anomaly, FindsNaNInEveryResultOfAnOp) {
  const Variable x(Tensor::full({2}, 1), Requires::kGrad);
  const AnomalyMode anomaly;
  const Tensor nan = Tensor::full({1}, std::nan(""));
  expect_error<AutogradError>(
      [&] {
        record_outputs("two results", {Tensor::zeros({1}), nan}, {x},
                       [](const Gradients&) -> Gradients { return {Tensor()}; });
      },
      "two results");
}

}  // namespace
}  // namespace terrace
