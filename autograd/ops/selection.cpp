#include "autograd/ops/selection.h"

#include <algorithm>

#include "autograd/node.h"
#include "tensor/matmul.h"
#include "tensor/reduce.h"

namespace terrace {
namespace {

/// A shape as (outer, extent, inner) around one dimension.
struct Split {
  Split(const Shape& shape, int64_t dim) : extent(shape[dim]) {
    for (int64_t d = 0; d < dim; ++d) { outer *= shape[d]; }
    for (int64_t d = dim + 1; d < shape.size(); ++d) { inner *= shape[d]; }
  }
  int64_t outer = 1, extent, inner = 1;
};

/// Throws IndexError unless every element of the i64 tensor lies in [0, extent).
void check_indices(const Tensor& index, int64_t extent, const char* op) {
  const Tensor host = index.to(kCpu).contiguous();
  const int64_t* values = host.data<int64_t>();
  for (int64_t i = 0; i < host.numel(); ++i) {
    if (values[i] < 0 || values[i] >= extent) {
      throw IndexError(
          cat(op, ": index ", values[i], " (element ", i, " of ", index.shape(), ") is outside [0, ", extent, ")"));
    }
  }
}

/// x seen as `shape` with extent-0 and rank-0 tensors handled by the callers.
Tensor stretched(const Tensor& x, const Shape& shape) { return x.expand(shape).contiguous(); }

Tensor select_by(const Tensor& condition, const Tensor& a, const Tensor& b, DType dtype) {
  Tensor y = Tensor::empty(condition.shape(), dtype, condition.device());
  const auto* mask = static_cast<const uint8_t*>(condition.raw_data());
  visit_floating(dtype, "where", [&](auto tag) {
    using T = typename decltype(tag)::type;
    where_select<T>(condition.device(), condition.numel(), mask, data_or_null<T>(a), data_or_null<T>(b), y.data<T>());
  });
  return y;
}

Tensor gather_values(const Tensor& x, const Tensor& index, int64_t dim) {
  const Split split(x.shape(), dim);
  Tensor y = Tensor::empty(index.shape(), x.dtype(), x.device());
  visit_floating(x.dtype(), "gather", [&](auto tag) {
    using T = typename decltype(tag)::type;
    gather_forward<T>(x.device(), split.outer, split.extent, split.inner, index.dim(dim), x.data<T>(),
                      index.data<int64_t>(), y.data<T>());
  });
  return y;
}

/// dy added up at index along `dim`, in a tensor of `shape`, whose other extents are index's.
Tensor scatter_values(const Tensor& dy, const Tensor& index, const Shape& shape, int64_t dim) {
  const Split split(shape, dim);
  const Tensor gradient = dy.contiguous();
  Tensor dx = Tensor::empty(shape, dy.dtype(), dy.device());
  visit_floating(dy.dtype(), "gather", [&](auto tag) {
    using T = typename decltype(tag)::type;
    gather_backward<T>(dy.device(), split.outer, split.extent, split.inner, index.dim(dim), index.data<int64_t>(),
                       gradient.data<T>(), dx.data<T>());
  });
  return dx;
}

/// The part of x that index covers outside `dim`.
Tensor covered(Tensor x, const Shape& index, int64_t dim) {
  for (int64_t d = 0; d < index.size(); ++d) {
    if (d != dim && index[d] < x.dim(d)) { x = x.slice(d, 0, index[d]); }
  }
  return x;
}

Tensor cumulated(const Tensor& x, int64_t dim, Scan scan) {
  const Tensor input = x.contiguous();
  const Split split(x.shape(), dim);
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  visit_floating(x.dtype(), "cumsum", [&](auto tag) {
    using T = typename decltype(tag)::type;
    cumulate<T>(x.device(), split.outer, split.extent, split.inner, scan, input.data<T>(), y.data<T>());
  });
  return y;
}

/// The first k in `order` of x's last dimension.
ValuesAndIndices prefix(const char* op, const Variable& x, int64_t k, SortOrder order) {
  const Tensor input = x.value().contiguous();
  const int64_t last = input.ndim() - 1, extent = input.dim(last);
  Shape shape = input.shape();
  shape[last] = k;
  Tensor values = Tensor::empty(shape, input.dtype(), input.device());
  Tensor indices = Tensor::empty(shape, DType::kI64, input.device());
  const int64_t rows = Split(input.shape(), last).outer;
  const int64_t workers = std::max<int64_t>(1, std::min<int64_t>(threads(), rows));
  const Tensor scratch = Tensor::empty({workers, extent}, DType::kI64, input.device());
  visit_floating(input.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    sorted_prefix<T>(input.device(), rows, extent, k, order, input.data<T>(), workers, scratch.data<int64_t>(),
                     values.data<T>(), indices.data<int64_t>());
  });
  Variable y = record(op, std::move(values), {x},
                      [op, saved = Saved(indices), from = input.shape(), last](const Tensor& dy) -> Gradients {
                        return {scatter_values(dy, saved.get(op), from, last)};
                      });
  return {std::move(y), std::move(indices)};
}

void check_has_dimension(const Tensor& x, const char* op) {
  if (x.ndim() == 0) { throw ShapeError(cat(op, ": x must have at least one dimension, got ", x.describe())); }
}

template <class F>
void visit_comparable(DType dtype, const char* op, F&& f) {
  if (dtype == DType::kI64) {
    f(TypeTag<int64_t>{});
  } else {
    visit_floating(dtype, op, f);
  }
}

Tensor extreme_of(const char* op, const Tensor& x, int64_t dim, Extreme extreme) {
  check_has_dimension(x, op);
  const int64_t along = normalize_dim(dim, x.ndim(), op);
  const Split split(x.shape(), along);
  Shape shape = x.shape();
  shape.erase(along);
  if (split.extent == 0 && shape.numel() > 0) {
    throw ShapeError(cat(op, ": dimension ", along, " of x is empty: ", x.describe()));
  }
  const Tensor input = x.contiguous();
  Tensor index = Tensor::empty(shape, DType::kI64, x.device());
  visit_comparable(x.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    arg_extreme<T>(x.device(), split.outer, split.extent, split.inner, extreme, input.data<T>(), index.data<int64_t>());
  });
  return index;
}

template <class F>
void visit_f32_f64(DType dtype, F&& f) {
  dtype == DType::kF64 ? f(TypeTag<double>{}) : f(TypeTag<float>{});
}

Tensor norms_of(const Tensor& rows) {
  Tensor norms = Tensor::empty({rows.dim(0)}, rows.dtype(), rows.device());
  visit_f32_f64(rows.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    squared_row_norms<T>(rows.device(), rows.dim(0), rows.dim(1), rows.data<T>(), norms.data<T>());
  });
  return norms;
}

/// The rows of `x` divided by their norms.
Tensor unit_rows(const Tensor& x) {
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  visit_f32_f64(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    normalize_rows<T>(x.device(), x.dim(0), x.dim(1), x.data<T>(), y.data<T>());
  });
  return y;
}

void check_codes(const Tensor& x, const Tensor& codes) {
  check_one_device("nearest_code", {{"x", x}, {"codes", codes}});
  check_ndim(x, 2, "nearest_code", "x (N,C)");
  check_ndim(codes, 2, "nearest_code", "codes (V,C)");
  if (x.dtype() != DType::kF32 && x.dtype() != DType::kF64) {
    throw DTypeError(cat("nearest_code: x must be f32 or f64, got ", x.describe()));
  }
  check_dtype(codes, x.dtype(), "nearest_code", "codes");
  if (codes.dim(1) != x.dim(1)) {
    throw ShapeError(
        cat("nearest_code: codes must be (V,C) with C = ", x.dim(1), ", got ", codes.shape(), "; x is ", x.describe()));
  }
  if (codes.dim(0) == 0 && x.dim(0) > 0) {
    throw ShapeError(cat("nearest_code: codes (V,C) is empty: ", codes.shape(), "; x is ", x.describe()));
  }
}

/// Undefined norms: the largest product.
template <class T>
void search_in_one(const Tensor& x, const Tensor& table, const Tensor& row_norms, const Tensor& code_norms,
                   Tensor& index) {
  nearest_search<T>(x.device(), x.dim(0), table.dim(0), x.dim(1), x.data<T>(), table.data<T>(),
                    data_or_null<T>(row_norms), data_or_null<T>(code_norms), index.data<int64_t>());
}

/// The same by the library's matrix product, in chunks of rows.
template <class T>
void search_by_products(const Tensor& x, const Tensor& table, const Tensor& row_norms, const Tensor& code_norms,
                        Tensor& index) {
  constexpr int64_t kProductsAtOnce = int64_t{1} << 20;  // 4 MiB of f32: they stay in the last cache
  const int64_t rows = x.dim(0), count = table.dim(0);
  const int64_t chunk = std::clamp<int64_t>(kProductsAtOnce / count, 1, rows);
  const Tensor buffer = Tensor::empty({chunk, count}, x.dtype(), x.device());
  for (int64_t begin = 0; begin < rows; begin += chunk) {
    const int64_t end = std::min(begin + chunk, rows);
    Tensor products = buffer.slice(0, 0, end - begin);
    matmul_into(x.slice(0, begin, end), table.transpose(0, 1), products);
    int64_t* out = index.data<int64_t>() + begin;
    if (!row_norms.defined()) {
      arg_extreme<T>(x.device(), end - begin, count, 1, Extreme::kLargest, products.data<T>(), out);
    } else {
      nearest_by_products<T>(x.device(), end - begin, count, row_norms.data<T>() + begin, code_norms.data<T>(),
                             products.data<T>(), out);
    }
  }
}

}  // namespace

Variable where(const Tensor& condition, const Variable& a, const Variable& b) {
  if (condition.dtype() != DType::kBool && condition.dtype() != DType::kU8) {
    throw DTypeError(cat("where: condition must be bool or u8, got ", condition.describe()));
  }
  check_one_device("where", {{"condition", condition}, {"a", a.value()}, {"b", b.value()}});
  check_dtype(b.value(), a.dtype(), "where", "b");
  const Shape shape = broadcast_shapes(broadcast_shapes(a.shape(), b.shape(), "where"), condition.shape(), "where");
  const Tensor mask = stretched(condition, shape);
  Tensor y = select_by(mask, stretched(a.value(), shape), stretched(b.value(), shape), a.dtype());
  return record("where", std::move(y), {a, b},
                [mask = Saved(mask), from_a = a.shape(), from_b = b.shape(), a_wanted = a.requires_grad(),
                 b_wanted = b.requires_grad()](const Tensor& dy) -> Gradients {
                  const Tensor gradient = dy.contiguous(), chosen = mask.get("where");
                  Tensor da, db;
                  if (a_wanted) { da = sum_to(select_by(chosen, gradient, {}, dy.dtype()), from_a); }
                  if (b_wanted) { db = sum_to(select_by(chosen, {}, gradient, dy.dtype()), from_b); }
                  return {da, db};
                });
}

Variable gather(const Variable& x, int64_t dim, const Tensor& index) {
  check_has_dimension(x.value(), "gather");
  const int64_t along = normalize_dim(dim, x.ndim(), "gather");
  check_one_device("gather", {{"x", x.value()}, {"index", index}});
  check_dtype(index, DType::kI64, "gather", "index");
  check_ndim(index, x.ndim(), "gather", "index");
  for (int64_t d = 0; d < x.ndim(); ++d) {
    if (d != along && index.dim(d) > x.dim(d)) {
      throw ShapeError(cat("gather: index must not exceed x outside dimension ", along, ", got index ", index.shape(),
                           "; x is ", x.value().describe()));
    }
  }
  check_indices(index, x.dim(along), "gather");
  const Tensor positions = index.contiguous();
  const Tensor part = covered(x.value(), index.shape(), along).contiguous();
  return record(
      "gather", gather_values(part, positions, along), {x},
      [positions = Saved(positions), along, whole = x.shape(), used = part.shape()](const Tensor& dy) -> Gradients {
        const Tensor sums = scatter_values(dy, positions.get("gather"), used, along);
        if (used == whole) { return {sums}; }
        Tensor dx = Tensor::zeros(whole, dy.dtype(), dy.device());
        covered(dx, used, along).copy_(sums);
        return {dx};
      });
}

Variable cumsum(const Variable& x, int64_t dim) {
  check_has_dimension(x.value(), "cumsum");
  const int64_t along = normalize_dim(dim, x.ndim(), "cumsum");
  return record("cumsum", cumulated(x.value(), along, Scan::kFromFirst), {x},
                [along](const Tensor& dy) -> Gradients { return {cumulated(dy, along, Scan::kFromLast)}; });
}

ValuesAndIndices topk(const Variable& x, int64_t k) {
  check_has_dimension(x.value(), "topk");
  if (k < 0 || k > x.dim(-1)) {
    throw IndexError(cat("topk: k must be in [0, ", x.dim(-1), "], got ", k, "; x is ", x.value().describe()));
  }
  return prefix("topk", x, k, SortOrder::kDescending);
}

ValuesAndIndices sort(const Variable& x, SortOrder order) {
  check_has_dimension(x.value(), "sort");
  return prefix("sort", x, x.dim(-1), order);
}

Tensor argmax(const Tensor& x, int64_t dim) { return extreme_of("argmax", x, dim, Extreme::kLargest); }
Tensor argmin(const Tensor& x, int64_t dim) { return extreme_of("argmin", x, dim, Extreme::kSmallest); }

Tensor bincount(const Tensor& x, int64_t minlength) {
  check_dtype(x, DType::kI64, "bincount", "x");
  constexpr int64_t kMaxBins = int64_t{1} << 32;  // 32 GiB of counts: more is a value that is no index
  if (minlength < 0) { throw ConfigError(cat("bincount: minlength must not be negative, got ", minlength)); }
  const Tensor host = x.to(kCpu).contiguous();
  const int64_t* values = host.data<int64_t>();
  const int64_t count = host.numel();
  int64_t bins = minlength;
  for (int64_t i = 0; i < count; ++i) {
    if (values[i] < 0) { throw IndexError(cat("bincount: elements must not be negative, got ", values[i])); }
    if (values[i] >= kMaxBins) {
      throw IndexError(cat("bincount: elements must be below ", kMaxBins, ", got ", values[i]));
    }
    bins = std::max(bins, values[i] + 1);
  }
  Tensor y = Tensor::zeros({bins}, DType::kI64);
  count_bins(kCpu, count, values, y.data<int64_t>());
  return y.to(x.device());
}

Tensor nearest_code(const Tensor& x, const Tensor& codes, CodeDistance distance) {
  check_codes(x, codes);
  Tensor index = Tensor::empty({x.dim(0)}, DType::kI64, x.device());
  if (x.dim(0) == 0) { return index; }

  const bool cosine = distance == CodeDistance::kCosine;
  const Tensor vectors = cosine ? unit_rows(x.contiguous()) : x.contiguous();
  const Tensor table = cosine ? unit_rows(codes.contiguous()) : codes.contiguous();
  const Tensor row_norms = cosine ? Tensor() : norms_of(vectors), code_norms = cosine ? Tensor() : norms_of(table);
  visit_f32_f64(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (nearest_search<T>.has(backend_of(x.device()))) {
      search_in_one<T>(vectors, table, row_norms, code_norms, index);
    } else {
      search_by_products<T>(vectors, table, row_norms, code_norms, index);
    }
  });
  return index;
}

}  // namespace terrace
