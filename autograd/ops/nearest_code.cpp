#include "autograd/ops/nearest_code.h"

#include <algorithm>

#include "tensor/kernels/argmax.h"
#include "tensor/kernels/nearest_code.h"
#include "tensor/matmul.h"

namespace terrace {
namespace {

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

/// In one kernel. Without norms: the code with the largest product.
template <class T>
void search_in_one(const Tensor& x, const Tensor& table, const Tensor& row_norms, const Tensor& code_norms,
                   Tensor& index) {
  nearest_search<T>(x.device(), x.dim(0), table.dim(0), x.dim(1), x.data<T>(), table.data<T>(),
                    data_or_null<T>(row_norms), data_or_null<T>(code_norms), index.data<int64_t>());
}

/// The same by matrix products, in chunks of rows.
template <class T>
void search_by_products(const Tensor& x, const Tensor& table, const Tensor& row_norms, const Tensor& code_norms,
                        Tensor& index) {
  constexpr int64_t kProductsAtOnce = int64_t{1} << 20;  // 4 MiB of f32, which stay in the last-level cache
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
