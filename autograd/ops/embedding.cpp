#include "autograd/ops/embedding.h"

#include "autograd/node.h"
#include "autograd/ops/rows.h"
#include "tensor/kernels/embedding.h"

namespace terrace {
namespace {

constexpr const char* kName = "embedding";

void check_arguments(const Tensor& weight, const Tensor& indices) {
  check_one_device(kName, {{"weight", weight}, {"indices", indices}});
  check_ndim(weight, 2, kName, "weight");
  check_dtype(indices, DType::kI64, kName, "indices");
  if (!indices.device().is_cpu()) {
    return;  // reading another device's memory would wait for its kernels, which check for themselves
  }
  const int64_t* index = indices.data<int64_t>();
  for (int64_t i = 0; i < indices.numel(); ++i) {
    if (index[i] < 0 || index[i] >= weight.dim(0)) {
      throw IndexError(cat(kName, ": index ", i, " is ", index[i], ", but weight ", weight.describe(),
                           " has rows 0 to ", weight.dim(0) - 1));
    }
  }
}

}  // namespace

Variable embedding(const Variable& weight_in, const Tensor& indices_in) {
  const Tensor weight = weight_in.value().contiguous();
  const Tensor indices = indices_in.contiguous();
  check_arguments(weight, indices);
  const int64_t channels = weight.dim(1);
  Shape shape = indices.shape();
  shape.push_back(channels);
  Tensor y = Tensor::empty(shape, weight.dtype(), weight.device());
  visit_floating(weight.dtype(), kName, [&](auto tag) {
    using T = typename decltype(tag)::type;
    embedding_forward<T>(weight.device(), weight.data<T>(), indices.data<int64_t>(), y.data<T>(),
                         {weight.dim(0), channels, indices.numel()});
  });
  return record(kName, y, {weight_in},
                [indices = Saved(indices), table = weight.shape(), channels](const Tensor& dy_in) -> Gradients {
                  const Tensor& index = indices.get(kName);
                  const Tensor dy = dy_in.contiguous();
                  Tensor dweight = Tensor::zeros(table, accumulator_dtype(dy.dtype()), dy.device());
                  visit_floating(dy.dtype(), kName, [&](auto tag) {
                    using T = typename decltype(tag)::type;
                    embedding_backward<T>(dy.device(), dy.data<T>(), index.data<int64_t>(),
                                          dweight.data<Accumulator<T>>(), {table[0], channels, index.numel()});
                  });
                  return {dweight.to(dy.dtype())};
                });
}

}  // namespace terrace
