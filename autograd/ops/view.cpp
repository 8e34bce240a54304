#include "autograd/ops/view.h"

#include "tensor/reduce.h"

namespace terrace {
namespace {

Tensor concat_values(const std::vector<Tensor>& parts, int64_t dim) {
  Shape shape = parts[0].shape();
  shape[dim] = 0;
  for (const Tensor& part : parts) {
    Shape expected = parts[0].shape();
    if (part.ndim() == expected.size()) { expected[dim] = part.shape()[dim]; }
    check_one_device("concat", {{"the first part", parts[0]}, {"another", part}});
    check_dtype(part, parts[0].dtype(), "concat", "every part");
    if (part.shape() != expected) {
      throw ShapeError(cat("concat: all parts must agree except in dimension ", dim, ", got ", parts[0].describe(),
                           " and ", part.describe()));
    }
    shape[dim] += part.shape()[dim];
  }
  Tensor y = Tensor::empty(shape, parts[0].dtype(), parts[0].device());
  int64_t at = 0;
  for (const Tensor& part : parts) {
    y.slice(dim, at, at + part.shape()[dim]).copy_(part);
    at += part.shape()[dim];
  }
  return y;
}

/// A tensor of `shape` that is zero but for `part` at [begin, ...) of `dim`.
Tensor embed_in_zeros(const Tensor& part, const Shape& shape, int64_t dim, int64_t begin) {
  Tensor whole = Tensor::zeros(shape, part.dtype(), part.device());
  whole.slice(dim, begin, begin + part.shape()[dim]).copy_(part);
  return whole;
}

}  // namespace

Variable reshape(const Variable& x, const Shape& shape) {
  return record("reshape", x.value().reshape(shape), {x},
                [old = x.shape()](const Tensor& dy) -> Gradients { return {dy.reshape(old)}; });
}

Variable permute(const Variable& x, const std::vector<int64_t>& order) {
  Tensor y = x.value().permute(order);
  std::vector<int64_t> inverse(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    inverse[static_cast<size_t>(normalize_dim(order[i], x.ndim(), "permute"))] = static_cast<int64_t>(i);
  }
  return record("permute", std::move(y), {x},
                [inverse](const Tensor& dy) -> Gradients { return {dy.permute(inverse)}; });
}

Variable transpose(const Variable& x, int64_t a, int64_t b) {
  return record("transpose", x.value().transpose(a, b), {x},
                [a, b](const Tensor& dy) -> Gradients { return {dy.transpose(a, b)}; });
}

Variable unsqueeze(const Variable& x, int64_t dim) {
  return record("unsqueeze", x.value().unsqueeze(dim), {x},
                [old = x.shape()](const Tensor& dy) -> Gradients { return {dy.reshape(old)}; });
}

Variable squeeze(const Variable& x, int64_t dim) {
  return record("squeeze", x.value().squeeze(dim), {x},
                [old = x.shape()](const Tensor& dy) -> Gradients { return {dy.reshape(old)}; });
}

Variable expand(const Variable& x, const Shape& shape) {
  return record("expand", x.value().expand(shape), {x},
                [old = x.shape()](const Tensor& dy) -> Gradients { return {sum_to(dy, old)}; });
}

Variable slice(const Variable& x, int64_t dim, int64_t begin, int64_t end) {
  const int64_t at = normalize_dim(dim, x.ndim(), "slice");
  return record(
      "slice", x.value().slice(at, begin, end), {x},
      [old = x.shape(), at, begin](const Tensor& dy) -> Gradients { return {embed_in_zeros(dy, old, at, begin)}; });
}

Variable select(const Variable& x, int64_t dim, int64_t index) {
  const int64_t at = normalize_dim(dim, x.ndim(), "select");
  return record("select", x.value().select(at, index), {x},
                [old = x.shape(), at, index](const Tensor& dy) -> Gradients {
                  return {embed_in_zeros(dy.unsqueeze(at), old, at, index)};
                });
}

Variable concat(const std::vector<Variable>& parts, int64_t dim) {
  if (parts.empty()) { throw ShapeError("concat: needs at least one part"); }
  const int64_t at = normalize_dim(dim, parts[0].ndim(), "concat");
  std::vector<Tensor> values;
  std::vector<int64_t> lengths;
  for (const Variable& part : parts) { values.push_back(part.value()); }
  Tensor y = concat_values(values, at);
  for (const Tensor& value : values) { lengths.push_back(value.shape()[at]); }
  return record("concat", std::move(y), parts, [lengths, at](const Tensor& dy) -> Gradients {
    Gradients d;
    int64_t begin = 0;
    for (int64_t length : lengths) {
      d.push_back(dy.slice(at, begin, begin + length));
      begin += length;
    }
    return d;
  });
}

std::vector<Variable> chunk(const Variable& x, int64_t count, int64_t dim) {
  const int64_t at = normalize_dim(dim, x.ndim(), "chunk");
  if (count < 1 || x.dim(at) % count != 0) {
    throw ShapeError(
        cat("chunk: dimension ", at, " of ", x.value().describe(), " does not divide into ", count, " parts"));
  }
  const int64_t length = x.dim(at) / count;
  std::vector<Tensor> values;
  for (int64_t i = 0; i < count; ++i) { values.push_back(x.value().slice(at, i * length, (i + 1) * length)); }
  return record_outputs("chunk", std::move(values), {x},
                        [shape = x.shape(), dtype = x.dtype(), device = x.value().device(), at,
                         length](const Gradients& dys) -> Gradients {
                          Tensor dx = Tensor::empty(shape, dtype, device);
                          for (size_t i = 0; i < dys.size(); ++i) {
                            const int64_t begin = static_cast<int64_t>(i) * length;
                            Tensor part = dx.slice(at, begin, begin + length);
                            if (dys[i].defined()) {
                              part.copy_(dys[i]);
                            } else {
                              part.zero_();
                            }
                          }
                          return {dx};
                        });
}

Variable pad2d(const Variable& x, const Padding2d& p) {
  if (x.ndim() < 2 || p.left < 0 || p.right < 0 || p.top < 0 || p.bottom < 0) {
    throw ShapeError(cat("pad2d: needs at least two dimensions and padding of 0 or more, got ", x.value().describe()));
  }
  const int64_t H = x.dim(-2), W = x.dim(-1);
  Shape shape = x.shape();
  shape[shape.size() - 2] += p.top + p.bottom;
  shape[shape.size() - 1] += p.left + p.right;
  Tensor y = Tensor::zeros(shape, x.dtype(), x.device());
  const auto inside = [=](const Tensor& t) { return t.slice(-2, p.top, p.top + H).slice(-1, p.left, p.left + W); };
  inside(y).copy_(x.value());
  return record("pad2d", std::move(y), {x}, [inside](const Tensor& dy) -> Gradients { return {inside(dy)}; });
}

Variable contiguous(const Variable& x) {
  if (x.value().is_contiguous()) { return x; }
  return record("contiguous", x.value().contiguous(), {x}, [](const Tensor& dy) -> Gradients { return {dy}; });
}

Variable to(const Variable& x, DType dtype) {
  if (x.dtype() == dtype) { return x; }
  if (!is_floating(dtype)) { throw DTypeError(cat("to: a variable converts to floating types, not ", dtype)); }
  return record("to", x.value().to(dtype), {x},
                [old = x.dtype()](const Tensor& dy) -> Gradients { return {dy.to(old)}; });
}

}  // namespace terrace
