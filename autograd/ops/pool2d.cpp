#include "autograd/ops/pool2d.h"

#include "autograd/node.h"
#include "autograd/ops/interpolate.h"
#include "tensor/kernels/pool2d.h"

namespace terrace {
namespace {

Pool2dGeometry geometry_of(const Tensor& x, const Pool2dOptions& options, const char* op) {
  check_ndim(x, 4, op, "x (B,C,H,W)");
  if (options.kernel < 1 || options.stride < 1 || options.pad < 0 || options.pad > options.kernel / 2) {
    throw ConfigError(cat(op, ": needs kernel >= 1, stride >= 1 and 0 <= pad <= kernel / 2, got kernel ",
                          options.kernel, " stride ", options.stride, " pad ", options.pad));
  }
  const Pool2dGeometry g{x.dim(0) * x.dim(1), x.dim(2), x.dim(3), options.kernel, options.stride, options.pad};
  if (g.height == 0 || g.width == 0 || g.height + 2 * g.pad < g.kernel || g.width + 2 * g.pad < g.kernel) {
    throw ShapeError(
        cat(op, ": window ", g.kernel, "x", g.kernel, " does not fit into x ", x.shape(), " padded by ", g.pad));
  }
  return g;
}

Shape output_shape(const Tensor& x, const Pool2dGeometry& g) {
  return {x.dim(0), x.dim(1), g.out_height(), g.out_width()};
}

}  // namespace

Variable avg_pool2d(const Variable& x, const Pool2dOptions& options, CountPad count_pad) {
  const Pool2dGeometry g = geometry_of(x.value(), options, "avg_pool2d");
  const int64_t divisor = count_pad == CountPad::kInclude ? g.kernel * g.kernel : 0;
  const Tensor input = x.value().contiguous();
  Tensor y = Tensor::empty(output_shape(input, g), input.dtype(), input.device());
  visit_floating(input.dtype(), "avg_pool2d", [&](auto tag) {
    using T = typename decltype(tag)::type;
    avg_pool2d_forward<T>(input.device(), g, divisor, input.data<T>(), y.data<T>());
  });
  return record("avg_pool2d", std::move(y), {x}, [g, divisor, shape = x.shape()](const Tensor& dy) -> Gradients {
    const Tensor gradient = dy.contiguous();
    Tensor dx = Tensor::empty(shape, dy.dtype(), dy.device());
    visit_floating(dy.dtype(), "avg_pool2d", [&](auto tag) {
      using T = typename decltype(tag)::type;
      avg_pool2d_backward<T>(dy.device(), g, divisor, gradient.data<T>(), dx.data<T>());
    });
    return {dx};
  });
}

Variable max_pool2d(const Variable& x, const Pool2dOptions& options) {
  const Pool2dGeometry g = geometry_of(x.value(), options, "max_pool2d");
  const Tensor input = x.value().contiguous();
  Tensor y = Tensor::empty(output_shape(input, g), input.dtype(), input.device());
  Tensor winner = Tensor::empty(y.shape(), DType::kI64, input.device());
  visit_floating(input.dtype(), "max_pool2d", [&](auto tag) {
    using T = typename decltype(tag)::type;
    max_pool2d_forward<T>(input.device(), g, input.data<T>(), y.data<T>(), winner.data<int64_t>());
  });
  return record("max_pool2d", std::move(y), {x}, [g, winner, shape = x.shape()](const Tensor& dy) -> Gradients {
    const Tensor gradient = dy.contiguous();
    Tensor dx = Tensor::empty(shape, dy.dtype(), dy.device());
    visit_floating(dy.dtype(), "max_pool2d", [&](auto tag) {
      using T = typename decltype(tag)::type;
      max_pool2d_backward<T>(dy.device(), g, winner.data<int64_t>(), gradient.data<T>(), dx.data<T>());
    });
    return {dx};
  });
}

Variable adaptive_avg_pool2d(const Variable& x, const Size2d& output) {
  return interpolate(x, output.height, output.width, Interpolation::kArea);
}

}  // namespace terrace
