// Views: the same storage under other extents and strides.
#include <algorithm>

#include "tensor/random.h"
#include "tests/support.h"

namespace terrace {
namespace {

std::vector<int64_t> values(const Tensor& t) { return t.to_vector<int64_t>(); }
using Values = std::vector<int64_t>;

TEST(Views, SliceTakesAStepAndSharesStorage) {
  const Tensor x = Tensor::arange(24).view({4, 6});
  const Tensor y = x.slice(1, 1, 6, 2);
  EXPECT_EQ(y.shape(), Shape({4, 3}));
  EXPECT_TRUE(y.shares_storage_with(x));
  EXPECT_FALSE(y.is_contiguous());
  EXPECT_EQ(values(y), (Values{1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23}));
  EXPECT_EQ(values(x.slice(0, 1, 2)), (Values{6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(x.slice(-1, 2, 2).shape(), Shape({4, 0}));
  EXPECT_EQ(values(y.slice(1, 1, 3, 1).slice(0, 3, 4)), (Values{21, 23}));
}

TEST(Views, SelectTransposePermuteExpand) {
  const Tensor x = Tensor::arange(24).view({2, 3, 4});
  EXPECT_EQ(values(x.select(1, 2)), (Values{8, 9, 10, 11, 20, 21, 22, 23}));
  EXPECT_EQ(values(x.select(-1, 3)), (Values{3, 7, 11, 15, 19, 23}));
  const Tensor t = x.transpose(0, -1);
  EXPECT_EQ(t.shape(), Shape({4, 3, 2}));
  EXPECT_EQ(t.strides(), Shape({1, 4, 12}));
  EXPECT_EQ(values(t.select(0, 0)), (Values{0, 12, 4, 16, 8, 20}));
  EXPECT_EQ(x.permute({2, 0, 1}).shape(), Shape({4, 2, 3}));
  EXPECT_EQ(values(x.permute({2, 0, 1}).select(0, 1)), (Values{1, 5, 9, 13, 17, 21}));
  const Tensor e = Tensor::arange(3).view({3, 1}).expand({2, 3, 4});
  EXPECT_EQ(e.strides(), Shape({0, 1, 0}));
  EXPECT_EQ(values(e.select(0, 1)), (Values{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2}));
}

TEST(Views, SqueezeAndUnsqueeze) {
  const Tensor x = Tensor::arange(6).view({2, 3});
  EXPECT_EQ(x.unsqueeze(0).shape(), Shape({1, 2, 3}));
  EXPECT_EQ(x.unsqueeze(-1).shape(), Shape({2, 3, 1}));
  EXPECT_EQ(x.unsqueeze(1).squeeze(1).shape(), Shape({2, 3}));
  EXPECT_TRUE(x.unsqueeze(1).is_contiguous());
}

TEST(Views, ReshapeCopiesOnlyWhereItMust) {
  const Tensor x = Tensor::arange(24).view({2, 3, 4});
  EXPECT_TRUE(x.reshape({6, -1}).shares_storage_with(x));
  EXPECT_TRUE(x.transpose(0, 1).view({3, 2, 2, 2}).shares_storage_with(x)) << "splitting a dimension needs no copy";
  const Tensor swapped = x.transpose(1, 2).reshape({2, 12});
  EXPECT_FALSE(swapped.shares_storage_with(x));
  EXPECT_EQ(values(swapped.select(0, 0)), (Values{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}));
  EXPECT_EQ(Tensor::arange(1).reshape({}).ndim(), 0);
  EXPECT_EQ(Tensor::zeros({0, 3}).reshape({3, 0, 2}).shape(), Shape({3, 0, 2}));
  EXPECT_EQ(x.flatten().shape(), Shape({24}));
}

TEST(Views, ContiguousAndClone) {
  const Tensor x = Tensor::arange(6).view({2, 3});
  EXPECT_TRUE(x.contiguous().shares_storage_with(x));
  EXPECT_FALSE(x.clone().shares_storage_with(x));
  const Tensor c = x.transpose(0, 1).contiguous();
  EXPECT_TRUE(c.is_contiguous());
  EXPECT_EQ(values(c), (Values{0, 3, 1, 4, 2, 5}));
  EXPECT_TRUE(x.slice(0, 1, 2).is_contiguous());
  EXPECT_TRUE(Tensor::zeros({2, 0, 3}).is_contiguous());
}

TEST(Views, ContiguousOfEveryPermutation) {
  const Tensor x = random_tensor({3, 5, 7, 2}, 1);
  const std::vector<float> flat = x.to_vector<float>();
  std::vector<int64_t> order = {0, 1, 2, 3};
  do {
    const Tensor y = x.permute(order).contiguous();
    const float* p = y.data<float>();
    int64_t at = 0;
    Shape i{0, 0, 0, 0};
    for (i[0] = 0; i[0] < y.dim(0); ++i[0]) {
      for (i[1] = 0; i[1] < y.dim(1); ++i[1]) {
        for (i[2] = 0; i[2] < y.dim(2); ++i[2]) {
          for (i[3] = 0; i[3] < y.dim(3); ++i[3]) {
            int64_t source = 0;
            for (int64_t d = 0; d < 4; ++d) { source += i[d] * x.strides()[order[static_cast<size_t>(d)]]; }
            ASSERT_EQ(p[at++], flat[static_cast<size_t>(source)]);
          }
        }
      }
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(Views, WritesAreSeenThroughEveryViewAndCounted) {
  Tensor x = Tensor::zeros({2, 3});
  Tensor row = x.select(0, 1);
  const uint64_t before = x.version();
  row.fill_(2);
  EXPECT_GT(x.version(), before);
  EXPECT_EQ(x.to_vector<float>(), (std::vector<float>{0, 0, 0, 2, 2, 2}));
  const uint64_t middle = x.version();
  x.transpose(0, 1).copy_(Tensor::arange(2, DType::kF64));
  EXPECT_GT(row.version(), middle);
  EXPECT_EQ(x.to_vector<float>(), (std::vector<float>{0, 0, 0, 1, 1, 1}));
}

TEST(Views, CopyBroadcastsAndConverts) {
  Tensor x = Tensor::zeros({2, 3}, DType::kI32);
  x.copy_(Tensor::from(std::vector<double>{1.9, -2.9, 3}, {3}));
  EXPECT_EQ(values(x), (Values{1, -2, 3, 1, -2, 3}));
  expect_error<ShapeError>([&] { x.copy_(Tensor::zeros({2})); }, "(2,)");
  Tensor column = Tensor::zeros({4, 2}).select(1, 0);
  column.copy_(Tensor::arange(4, DType::kF32));
  EXPECT_EQ(values(column), (Values{0, 1, 2, 3}));
}

TEST(Views, CopiesOfItselfReadWhatWasThere) {
  Tensor x = Tensor::arange(6);
  x.slice(0, 1, 6).copy_(x.slice(0, 0, 5));
  EXPECT_EQ(values(x), (Values{0, 0, 1, 2, 3, 4}));
  x.slice(0, 0, 4).copy_(x.slice(0, 2, 6));
  EXPECT_EQ(values(x), (Values{1, 2, 3, 4, 3, 4}));
  Tensor m = Tensor::arange(9).view({3, 3});
  m.copy_(m.transpose(0, 1));
  EXPECT_EQ(values(m), (Values{0, 3, 6, 1, 4, 7, 2, 5, 8}));
  m.copy_(m.select(0, 1));
  EXPECT_EQ(values(m), (Values{1, 4, 7, 1, 4, 7, 1, 4, 7}));
  constexpr int64_t kLong = 1 << 17;  // more than one thread's share
  const Tensor start = Tensor::arange(kLong);
  Tensor shifted = start.clone();
  shifted.slice(0, 1, kLong).copy_(shifted.slice(0, 0, kLong - 1));
  EXPECT_SAME(shifted.slice(0, 1, kLong), start.slice(0, 0, kLong - 1));
}

TEST(Views, WritingToAnExpandedViewIsRefused) {
  Tensor wide = Tensor::zeros({3}).expand({2, 3});
  const uint64_t version = wide.version();
  expect_error<ShapeError>(
      [&] {
        wide.copy_(Tensor::zeros({2, 3}));
      },
      "copy_: cannot write to (2, 3) f32 cpu, an expanded view: all elements along dimension 0 are "
      "one place in memory; clone() it first");
  expect_error<ShapeError>([&] { wide.fill_(1); }, "fill_: cannot write to (2, 3)");
  Generator g(1);
  expect_error<ShapeError>([&] { uniform_(wide, 0, 1, g); }, "uniform_: cannot write to (2, 3)");
  EXPECT_EQ(g.offset, 0u);
  EXPECT_EQ(wide.version(), version);
  Tensor empty = Tensor::zeros({1, 0}).expand({4, 0});
  empty.fill_(1);  // no element is shared
}

TEST(Views, UndefinedTensorsAreRefusedByName) {
  const Tensor none;
  Tensor target;
  expect_error<Error>([&] { none.device(); }, "device: the tensor is undefined");
  expect_error<Error>([&] { none.version(); }, "version: the tensor is undefined");
  expect_error<Error>([&] { target.bump_version(); }, "bump_version: the tensor is undefined");
  expect_error<Error>([&] { none.raw_data(); }, "data: the tensor is undefined");
  expect_error<Error>([&] { none.data<float>(); }, "data: the tensor is undefined");
  expect_error<Error>([&] { none.item<float>(); }, "to: the tensor is undefined");
  expect_error<Error>([&] { none.to_vector<double>(); }, "to: the tensor is undefined");
  expect_error<Error>([&] { none.to(kCpu); }, "device: the tensor is undefined");
  expect_error<Error>([&] { none.clone(); }, "clone: the tensor is undefined");
  expect_error<Error>([&] { none.view({1}); }, "view: the tensor is undefined");
  expect_error<Error>([&] { none.reshape({-1}); }, "view: the tensor is undefined");
  expect_error<Error>([&] { none.expand({2}); }, "view: the tensor is undefined");
  expect_error<Error>([&] { none.unsqueeze(0); }, "view: the tensor is undefined");
  expect_error<Error>([&] { target.fill_(1); }, "fill_: the tensor is undefined");
  expect_error<Error>([&] { target.copy_(Tensor::scalar(1)); }, "copy_: the tensor is undefined");
  expect_error<Error>([&] { Tensor::scalar(1).copy_(none); }, "copy_: the tensor is undefined");
  EXPECT_FALSE(none.sole_owner());
  EXPECT_FALSE(none.shares_storage_with(none));
  EXPECT_EQ(none.describe(), "undefined tensor");
}

TEST(Views, RefuseWhatCannotBe) {
  const Tensor x = Tensor::arange(6).view({2, 3});
  expect_error<ShapeError>([&] { x.transpose(0, 1).view({6}); }, "view");
  expect_error<ShapeError>([&] { x.view({4, -1}); }, "view");
  expect_error<ShapeError>([&] { x.view({-1, -1}); }, "view");
  expect_error<ShapeError>([&] { x.reshape({7}); }, "(7,)");
  expect_error<ShapeError>([&] { x.expand({4, 3}); }, "expand");
  expect_error<IndexError>([&] { x.transpose(0, 2); }, "transpose");
  expect_error<IndexError>([&] { x.select(0, 2); }, "select");
  expect_error<IndexError>([&] { x.select(0, -1); }, "select");
  expect_error<IndexError>([&] { x.slice(1, 2, 4); }, "slice");
  expect_error<IndexError>([&] { x.slice(1, 2, 1); }, "slice");
  expect_error<ShapeError>([&] { x.permute({0, 0}); }, "permute");
  expect_error<ShapeError>([&] { x.squeeze(0); }, "squeeze");
}

TEST(Views, ExtentsThatCannotBeMeantAreRefused) {
  const Tensor six = Tensor::zeros({6}), none = Tensor::zeros({2, 0});
  for (const Shape& shape :
       {Shape{-1, -1, -1}, Shape{-2, -3}, Shape{-1, -6}, Shape{int64_t{1} << 62, 8}, Shape{-1, 4}}) {
    expect_error<ShapeError>([&] { six.reshape(shape); }, "does not fit");
    expect_error<ShapeError>([&] { six.view(shape); }, "does not fit");
  }
  expect_error<ShapeError>([&] { none.reshape({-1, 0}); }, "does not fit");
  EXPECT_EQ(none.reshape({-1, 4}).shape(), Shape({0, 4}));
  expect_error<ShapeError>([&] { Tensor::zeros({1, 3}).expand({-1, 3}); }, "expand");
}

TEST(Views, AccessIsChecked) {
  const Tensor x = Tensor::full({2, 3}, 7);
  EXPECT_EQ(x.select(0, 0).select(0, 0).item<double>(), 7);
  expect_error<DTypeError>([&] { x.data<double>(); }, "f32");
  expect_error<ShapeError>([&] { x.item<float>(); }, "(2, 3)");
  expect_error<ShapeError>([] { Tensor::from(std::vector<float>{1, 2, 3}, {2, 2}); }, "(2, 2)");
  expect_error<ShapeError>([&] { check_shape(x, {3, 2}, "conv2d", "weight"); }, "conv2d: weight");
  expect_error<ShapeError>([&] { check_ndim(x, 4, "conv2d", "x"); }, "conv2d: x");
  expect_error<DTypeError>([&] { check_dtype(x, DType::kI64, "embedding", "indices"); }, "embedding: indices");
  EXPECT_EQ(Tensor::zeros({2, 16, 768}).describe(), "(2, 16, 768) f32 cpu");
}

TEST(Views, ScalarsAndEmptyTensors) {
  EXPECT_EQ(Tensor::scalar(3.5).item<double>(), 3.5);
  EXPECT_EQ(Tensor::scalar(3).shape(), Shape());
  const Tensor empty = Tensor::zeros({0, 4});
  EXPECT_EQ(empty.numel(), 0);
  EXPECT_TRUE(empty.to_vector<float>().empty());
  EXPECT_EQ(empty.clone().shape(), Shape({0, 4}));
  EXPECT_FALSE(Tensor().defined());
}

}  // namespace
}  // namespace terrace
