// gradcheck finds what is wrong and says where.
#include "autograd/gradcheck.h"

#include "autograd/functions.h"
#include "autograd/node.h"
#include "tensor/pointwise.h"
#include "tests/support.h"

namespace terrace {
namespace {

using Inputs = std::vector<Variable>;

/// x^2, whose derivative is given as `factor` x where 2 x is right.
Variable square_with_slope(const Variable& x, double factor) {
  return record("wrong_square", mul(x.value(), x.value()), {x}, [x = Saved(x), factor](const Tensor& dy) -> Gradients {
    return {scale(mul(x.get("wrong_square"), dy), factor)};
  });
}

TEST(Gradcheck, PassesARightGradient) {
  gradcheck("square", [](const Inputs& in) { return square_with_slope(in[0], 2); },
            {random_tensor({3, 5}, 1, 0.5, 2, DType::kF64)});
}

TEST(Gradcheck, FailsForASlightlyWrongGradient) {
  const auto check = [](double factor) {
    gradcheck("my_square", [=](const Inputs& in) { return square_with_slope(in[0], factor); },
              {random_tensor({3, 5}, 1, 0.5, 2, DType::kF64)});
  };
  expect_error<AutogradError>([&] { check(2 + 1e-4); }, "my_square");
  expect_error<AutogradError>([&] { check(-2); }, "my_square");
  expect_error<AutogradError>([&] { check(0); }, "my_square");
}

TEST(Gradcheck, FailsForAMissingGradient) {
  const auto forgetful = [](const Inputs& in) {
    return record("forgetful", add(in[0].value(), in[1].value()), in, [](const Tensor& dy) -> Gradients {
      return {dy, Tensor()};
    });
  };
  const std::vector<Tensor> inputs = {random_tensor({4}, 1, -1, 1, DType::kF64),
                                      random_tensor({4}, 2, -1, 1, DType::kF64)};
  expect_error<AutogradError>([&] { gradcheck("forgetful", forgetful, inputs); }, "forgetful");
}

TEST(Gradcheck, ChecksEveryElementOfEveryInput) {
  // Wrong in the last element of the second input only.
  const auto sly = [](const Inputs& in) {
    return record("sly", add(in[0].value(), in[1].value()), in, [](const Tensor& dy) -> Gradients {
      const Tensor wrong = dy.clone();
      wrong.select(0, 6).fill_(0);
      return {dy, wrong};
    });
  };
  const std::vector<Tensor> inputs = {random_tensor({7}, 1, -1, 1, DType::kF64),
                                      random_tensor({7}, 2, -1, 1, DType::kF64)};
  expect_error<AutogradError>([&] { gradcheck("sly", sly, inputs); }, "sly");
}

TEST(Gradcheck, WantsDoublePrecision) {
  expect_error<Error>([] { gradcheck("exp", [](const Inputs& in) { return exp(in[0]); }, {random_tensor({2}, 1)}); },
                      "f64");
}

}  // namespace
}  // namespace terrace
