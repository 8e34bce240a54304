// Views and rearrangements: values against the tensor's own views, gradients by gradcheck.
#include "autograd/functions.h"
#include "autograd/gradcheck.h"
#include "tests/cuda/one_device.h"
#include "tests/support.h"

namespace terrace {
namespace {

using Inputs = std::vector<Variable>;
constexpr DType kF64 = DType::kF64;

struct ViewCase {
  const char* name;
  Variable (*f)(const Variable&);
  Tensor (*expected)(const Tensor&);
};
const ViewCase kCases[] = {
    {"reshape",
     [](const Variable& x) {
       return reshape(x, {4, -1});
     },
     [](const Tensor& x) {
       return x.reshape({4, -1});
     }},
    {"permute",
     [](const Variable& x) {
       return permute(x, {2, 0, 1});
     },
     [](const Tensor& x) {
       return x.permute({2, 0, 1});
     }},
    {"transpose", [](const Variable& x) { return transpose(x, 0, -1); },
     [](const Tensor& x) { return x.transpose(0, -1); }},
    {"slice", [](const Variable& x) { return slice(x, 1, 1, 3); }, [](const Tensor& x) { return x.slice(1, 1, 3); }},
    {"empty slice", [](const Variable& x) { return slice(x, 1, 1, 1); },
     [](const Tensor& x) { return x.slice(1, 1, 1); }},
    {"select", [](const Variable& x) { return select(x, -1, 3); }, [](const Tensor& x) { return x.select(-1, 3); }},
    {"unsqueeze", [](const Variable& x) { return unsqueeze(x, 1); }, [](const Tensor& x) { return x.unsqueeze(1); }},
    {"squeeze",
     [](const Variable& x) {
       return squeeze(reshape(x, {1, 24}), 0);
     },
     [](const Tensor& x) { return x.flatten(); }},
    {"contiguous", [](const Variable& x) { return contiguous(transpose(x, 0, 1)); },
     [](const Tensor& x) { return x.transpose(0, 1).contiguous(); }},
};

TEST(ViewOps, ValuesAndGradcheck) {
  for (const ViewCase& c : kCases) {
    const Tensor x = random_tensor({2, 3, 4}, 1, -1, 1, kF64);
    EXPECT_SAME(c.f(Variable(x)), c.expected(x)) << c.name;
    gradcheck(c.name, [&](const Inputs& in) { return c.f(in[0]); }, {x});
  }
}

TEST(ViewOps, AViewCopiesNothing) {
  const Variable x = random_leaf({2, 3, 4}, 1);
  for (const Variable& view :
       {reshape(x, {6, 4}), permute(x, {2, 0, 1}), slice(x, 0, 1, 2), expand(unsqueeze(x, 0), {5, 2, 3, 4})}) {
    EXPECT_TRUE(view.value().shares_storage_with(x.value()));
  }
}

TEST(ViewOps, ExpandSumsItsGradient) {
  gradcheck("expand",
            [](const Inputs& in) {
              return expand(in[0], {2, 3, 4});
            },
            {random_tensor({3, 1}, 1, -1, 1, kF64)});
}

TEST(ViewOps, ConcatAndChunk) {
  const std::vector<Tensor> parts = {random_tensor({2, 3}, 1, -1, 1, kF64), random_tensor({2, 1}, 2, -1, 1, kF64),
                                     random_tensor({2, 0}, 3, -1, 1, kF64), random_tensor({2, 4}, 4, -1, 1, kF64)};
  Inputs variables;
  for (const Tensor& part : parts) { variables.emplace_back(part); }
  const Variable whole = concat(variables, 1);
  EXPECT_EQ(whole.shape(), Shape({2, 8}));
  EXPECT_SAME(whole.value().slice(1, 4, 8), parts[3]);
  gradcheck(
      "concat", [](const Inputs& in) { return concat(in, -1); }, parts);
  gradcheck("concat of one twice", [](const Inputs& in) { return concat({in[0], in[0]}, 0); }, {parts[0]});
  gradcheck("chunk",
            [](const Inputs& in) {
              const std::vector<Variable> c = chunk(in[0], 3, 1);
              return c[0] * c[2] + c[1];
            },
            {random_tensor({2, 6}, 5, -1, 1, kF64)});
  expect_error<ShapeError>(
      [&] {
        concat({Variable(Here::zeros({2, 3})), Variable(Here::zeros({3, 3}))}, 1);
      },
      "concat");
  expect_error<DTypeError>(
      [&] {
        concat({Variable(Here::zeros({2})), Variable(Here::zeros({2}, kF64))}, 0);
      },
      "concat");
  expect_error<ShapeError>([&] { concat({}, 0); }, "concat");
  expect_error<ShapeError>([&] { chunk(Variable(Here::zeros({2, 7})), 3, 1); }, "chunk");
}

TEST(ViewOps, Pad2d) {
  constexpr Padding2d kPad{.top = 3, .bottom = 0, .left = 1, .right = 2};
  const Tensor x = random_tensor({1, 2, 3, 4}, 1, -1, 1, kF64);
  const Variable y = pad2d(Variable(x), kPad);
  EXPECT_EQ(y.shape(), Shape({1, 2, 6, 7}));
  EXPECT_SAME(y.value().slice(2, 3, 6).slice(3, 1, 5), x);
  EXPECT_NEAR(sum(y).item<double>(), sum(Variable(x)).item<double>(), 1e-12);
  gradcheck("pad2d", [&](const Inputs& in) { return pad2d(in[0], kPad); }, {x});
}

TEST(ViewOps, ConversionsReturnTheGradientInTheInputsType) {
  const Variable x = random_leaf({7}, 1);
  sum(to(x, kF64) * 2.0).backward();
  EXPECT_EQ(x.grad().dtype(), DType::kF32);
  EXPECT_EQ(x.grad().to_vector<float>(), std::vector<float>(7, 2));
}

TEST(ViewOps, SlicesOfOneTensorAddTheirGradients) {
  const Variable x = random_leaf({6}, 1);
  sum(slice(x, 0, 0, 4) * slice(x, 0, 2, 6)).backward();
  const std::vector<float> v = x.value().to_vector<float>();
  EXPECT_CLOSE(x.grad(), Here::from(std::vector<float>{v[2], v[3], v[4] + v[0], v[5] + v[1], v[2], v[3]}, {6}), 1e-6);
}

TEST(ViewOps, Refuse) {
  const Variable x(Here::zeros({2, 3}));
  expect_error<ShapeError>([&] { reshape(x, {4}); }, "reshape");
  expect_error<IndexError>([&] { slice(x, 1, 2, 4); }, "slice");
  expect_error<IndexError>([&] { select(x, 0, 2); }, "select");
  expect_error<ShapeError>([&] { expand(x, {4, 3}); }, "expand");
}

TEST(CudaView, OperandsOfTwoDevicesAreRefused) {
  expect_one_device("concat", {{"the first part", {3}}, {"another", {3}}}, [](const Tensors& t) {
    concat({Variable(t[0]), Variable(t[1])}, 0);
  });
}

}  // namespace
}  // namespace terrace
