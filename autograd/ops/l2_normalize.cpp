#include "autograd/ops/l2_normalize.h"

#include "autograd/node.h"
#include "autograd/ops/rows.h"
#include "autograd/ops/view.h"
#include "tensor/kernels/l2_normalize.h"

namespace terrace {
namespace {

constexpr const char* kName = "l2_normalize";

}  // namespace

Variable l2_normalize(const Variable& x_in, int64_t dim, double eps) {
  const int64_t along = normalize_dim(dim, x_in.ndim(), kName);
  const int64_t last = x_in.ndim() - 1;
  if (along != last) { return transpose(l2_normalize(transpose(x_in, along, last), last, eps), along, last); }
  const Tensor x = x_in.value().contiguous();
  const Rows extent(x, kName);
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  const Tensor length = Tensor::empty({extent.rows}, accumulator_dtype(x.dtype()), x.device());
  visit_floating(x.dtype(), kName, [&](auto tag) {
    using T = typename decltype(tag)::type;
    l2_normalize_forward<T>(x.device(), x.data<T>(), y.data<T>(), length.data<Accumulator<T>>(), extent.rows,
                            extent.cols, eps);
  });
  return record(kName, y, {x_in}, [y = Saved(y), length, extent, eps](const Tensor& dy_in) -> Gradients {
    const Tensor& unit = y.get(kName);
    const Tensor dy = dy_in.contiguous();
    Tensor dx = Tensor::empty(unit.shape(), unit.dtype(), unit.device());
    visit_floating(unit.dtype(), kName, [&](auto tag) {
      using T = typename decltype(tag)::type;
      l2_normalize_backward<T>(unit.device(), unit.data<T>(), length.data<Accumulator<T>>(), dy.data<T>(), dx.data<T>(),
                               extent.rows, extent.cols, eps);
    });
    return {dx};
  });
}

}  // namespace terrace
