#include "tensor/reduce.h"

#include <algorithm>

#include "tensor/kernels/reduce.h"
#include "tensor/pointwise.h"

namespace terrace {
namespace {

enum class Reduction { kSum, kMax };

/// Which dimensions are reduced; all of them where `dims` is empty.
std::vector<bool> reduced_dims(const Tensor& x, const std::vector<int64_t>& dims, const char* op) {
  std::vector<bool> reduced(static_cast<size_t>(x.ndim()), dims.empty());
  for (int64_t d : dims) {
    const size_t at = static_cast<size_t>(normalize_dim(d, x.ndim(), op));
    if (reduced[at]) { throw ShapeError(cat(op, ": dimension ", d, " is named twice")); }
    reduced[at] = true;
  }
  return reduced;
}

Tensor reduce_run(const Tensor& x, int64_t A, int64_t R, int64_t C, const Shape& shape, Reduction what,
                  const char* op) {
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  visit_floating(x.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto& kernel = what == Reduction::kSum ? reduce_sum<T> : reduce_max<T>;
    kernel(x.device(), x.data<T>(), y.data<T>(), A, R, C);
  });
  return y;
}

/// How many runs of adjacent dimensions are reduced.
int64_t count_runs(const std::vector<bool>& reduced) {
  int64_t runs = 0;
  for (size_t i = 0; i < reduced.size(); ++i) { runs += reduced[i] && (i == 0 || !reduced[i - 1]); }
  return runs;
}

/// Reduces one run of adjacent dimensions after another, the last run first.
Tensor reduce(const Tensor& x, const std::vector<int64_t>& dims, KeepDim keep, Reduction what, const char* op) {
  const std::vector<bool> reduced = reduced_dims(x, dims, op);
  if (what == Reduction::kSum && x.dtype() == DType::kBF16 && count_runs(reduced) > 1) {
    return reduce(x.to(DType::kF32), dims, keep, what, op).to(DType::kBF16);  // rounded once, at the end
  }
  Tensor y = x.contiguous();
  Shape shape = x.shape();
  for (int64_t end = x.ndim(); end > 0;) {
    if (!reduced[static_cast<size_t>(end - 1)]) {
      --end;
      continue;
    }
    int64_t begin = end;
    while (begin > 0 && reduced[static_cast<size_t>(begin - 1)]) { --begin; }
    int64_t A = 1, R = 1, C = 1;
    for (int64_t i = 0; i < x.ndim(); ++i) { (i < begin ? A : i < end ? R : C) *= shape[i]; }
    for (int64_t i = begin; i < end; ++i) { shape[i] = 1; }
    if (R == 0 && what == Reduction::kMax) { throw ShapeError(cat(op, ": nothing to reduce in ", x.describe())); }
    y = reduce_run(y, A, R, C, shape, what, op);
    end = begin;
  }
  if (x.ndim() == 0) { y = x.clone(); }
  if (keep == KeepDim::kYes) { return y; }
  Shape kept;
  for (int64_t i = 0; i < x.ndim(); ++i) {
    if (!reduced[static_cast<size_t>(i)]) { kept.push_back(shape[i]); }
  }
  return y.view(kept);
}

}  // namespace

Tensor sum(const Tensor& x, const std::vector<int64_t>& dims, KeepDim keep) {
  return reduce(x, dims, keep, Reduction::kSum, "sum");
}

Tensor mean(const Tensor& x, const std::vector<int64_t>& dims, KeepDim keep) {
  if (x.dtype() == DType::kBF16) {
    return mean(x.to(DType::kF32), dims, keep).to(DType::kBF16);  // rounded once
  }
  Tensor y = reduce(x, dims, keep, Reduction::kSum, "mean");
  const double count = static_cast<double>(x.numel()) / static_cast<double>(std::max<int64_t>(y.numel(), 1));
  return scale_(y, 1.0 / count);
}

Tensor max(const Tensor& x, const std::vector<int64_t>& dims, KeepDim keep) {
  return reduce(x, dims, keep, Reduction::kMax, "max");
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) { return x; }
  if (broadcast_shapes(x.shape(), shape, "sum_to") != x.shape()) {
    throw ShapeError(cat("sum_to: ", x.describe(), " does not come from broadcasting ", shape));
  }
  std::vector<int64_t> dims;
  const int64_t lead = x.ndim() - shape.size();
  for (int64_t i = 0; i < x.ndim(); ++i) {
    if (i < lead || (shape[i - lead] == 1 && x.shape()[i] != 1)) { dims.push_back(i); }
  }
  return (dims.empty() ? x : sum(x, dims, KeepDim::kYes)).reshape(shape);
}

double squared_norm(const Tensor& x) {
  const Tensor source = x.contiguous();
  return visit_floating(x.dtype(), "squared_norm", [&](auto tag) {
    using T = typename decltype(tag)::type;
    return reduce_squares<T>(x.device(), source.data<T>(), source.numel());
  });
}

bool has_nan(const Tensor& x) {
  if (!is_floating(x.dtype())) { return false; }
  const Tensor source = x.contiguous();
  return visit_floating(x.dtype(), "has_nan", [&](auto tag) {
    using T = typename decltype(tag)::type;
    return any_nan<T>(x.device(), source.data<T>(), source.numel());
  });
}

}  // namespace terrace
