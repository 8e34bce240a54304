#include "tensor/matmul.h"

#include "tensor/gemm/gemm.h"
#include "tensor/kernels/gemm/linear_product.h"
#include "tensor/kernels/product.h"
#include "tensor/pointwise.h"
#include "tensor/reduce.h"

namespace terrace {
namespace {

/// A matrix, or a batch of them, as the kernels take it: row-major or its transpose, with the length of its stored
/// rows.
struct Operand {
  Tensor keep;  // the copy, where the strides fit neither form
  Transpose transpose;
  int64_t stride;
  int64_t step() const { return keep.ndim() == 3 ? keep.strides()[0] : 0; }
};

Operand as_operand(const Tensor& t) {
  const int64_t rows = t.dim(-2), cols = t.dim(-1);
  const int64_t row_step = t.strides()[t.ndim() - 2], col_step = t.strides()[t.ndim() - 1];
  if ((col_step == 1 || cols == 1) && (row_step >= cols || rows == 1)) {
    return {t, Transpose::kNo, rows == 1 ? cols : row_step};
  }
  if ((row_step == 1 || rows == 1) && (col_step >= rows || cols == 1)) {
    return {t, Transpose::kYes, cols == 1 ? rows : col_step};
  }
  return {t.contiguous(), Transpose::kNo, cols};
}

/// c = a b for (M, K) and (K, N), or for batches of them.
template <class T, class R>
Product<T, R> product_of(const Operand& a, const Operand& b, const Tensor& c) {
  Product<T, R> p;
  const int64_t M = c.dim(-2), N = c.dim(-1), K = a.keep.dim(-1);
  p.shape = {a.transpose, b.transpose, M, N, K, a.stride, b.stride, M == 1 ? N : c.strides()[c.ndim() - 2]};
  p.a = a.keep.data<T>();
  p.b = b.keep.data<T>();
  p.c = c.data<R>();
  if (c.ndim() == 3) {
    p.batch = c.dim(0);
    p.step_a = a.step();
    p.step_b = b.step();
    p.step_c = c.strides()[0];
  }
  return p;
}

/// Fills `c`, of type R, with a b by the slot; more(p) sets the other members of the Product. Neither c nor K is empty.
template <class T, class R, class More>
void multiply_as(const Tensor& a, const Tensor& b, const Tensor& c, const More& more) {
  const Operand left = as_operand(a), right = as_operand(b);
  Product<T, R> p = product_of<T, R>(left, right, c);
  more(p);
  matrix_product<T, R>(c.device(), p);
}

/// The same for tensors of one type.
template <class More>
void multiply(const Tensor& a, const Tensor& b, const Tensor& c, const char* op, const More& more) {
  visit_floating(c.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    multiply_as<T, T>(a, b, c, more);
  });
}

void check_product(const Tensor& a, const Tensor& b, const char* op) {
  check_one_device(op, {{"a", a}, {"b", b}});
  if (a.dtype() != b.dtype()) {
    throw DTypeError(cat(op, ": both operands must have one dtype, got ", a.describe(), " and ", b.describe()));
  }
  if (!is_floating(a.dtype()) || a.dtype() == DType::kF16) {
    throw DTypeError(cat(op, ": needs f32, bf16 or f64, got ", a.describe()));
  }
  if (a.ndim() < 2 || b.ndim() < 2 || a.dim(-1) != b.dim(-2)) {
    throw ShapeError(cat(op, ": needs (..., M, K) times (..., K, N), got ", a.shape(), " times ", b.shape()));
  }
}

/// a (batch, M, K), b (batch, K, N), c (batch, M, N).
void multiply_batches(const Tensor& a, const Tensor& b, Tensor c) {
  if (c.numel() == 0) { return; }
  if (a.dim(2) == 0) {
    c.zero_();
    return;
  }
  multiply(a, b, c, "matmul", [](auto&) {});
}

void check_linear(const Tensor& x, const Tensor& weight, const Tensor& bias, DType result, const char* op) {
  check_one_device(op, {{"x", x}, {"weight", weight}, {"bias", bias}});
  check_ndim(weight, 2, op, "weight");
  const bool stored_narrow = x.dtype() == DType::kF32 && weight.dtype() == DType::kBF16;
  if (!stored_narrow) { check_dtype(weight, x.dtype(), op, "weight"); }
  const int64_t K = weight.dim(1), N = weight.dim(0);
  if (x.ndim() < 1 || x.dim(-1) != K) {
    throw ShapeError(
        cat(op, ": x must end in K = ", K, " for weight (N, K) = ", weight.shape(), ", got ", x.describe()));
  }
  if (bias.defined()) {
    check_shape(bias, {N}, op, "bias");
    check_dtype(bias, result, op, "bias");
  }
  const bool sums = x.dtype() == DType::kBF16 && result == DType::kF32;
  if (result != x.dtype() && !sums) {
    throw DTypeError(
        cat(op, ": the result is of x's type, or f32 where x is bf16; asked for ", result, " of x ", x.describe()));
  }
}

/// On the CPU products read a weight stored in bf16 as it is; elsewhere it is widened beforehand.
bool is_read_narrow(const Tensor& x, const Tensor& weight) {
  return weight.dtype() != x.dtype() && x.device().is_cpu();
}

/// x (M, K) and bias are contiguous.
void multiply_by_narrow(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& y) {
  const Tensor w = weight.contiguous();
  const int64_t M = x.dim(0), K = x.dim(1), N = w.dim(0);
  const LinearProduct<BFloat16> product{
      M, N, K, K, K, N, x.data<float>(), w.data<BFloat16>(), data_or_null<float>(bias), y.data<float>()};
  const bool pairs = has_bf16_products() && K % 2 == 0;
  (pairs ? linear_product_bf16 : linear_product<BFloat16>)(kCpu, product);
}

/// Computes `y` (rows, N) of linear and linear_gelu; `pre_activation` is Product's.
void run_linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y, Epilogue epilogue,
                const Tensor& pre_activation, const char* op) {
  const Tensor row = bias.defined() ? bias.contiguous() : Tensor();
  multiply(x, weight.to(x.dtype()).transpose(0, 1), y, op, [&](auto& p) {
    using T = std::remove_pointer_t<decltype(p.c)>;
    p.epilogue = epilogue;
    p.bias = data_or_null<T>(row);
    p.pre_activation = data_or_null<T>(pre_activation);
  });
}

/// The f32 sums of bf16 operands.
void run_linear_to_f32(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& y) {
  const Tensor row = bias.defined() ? bias.contiguous() : Tensor();
  multiply_as<BFloat16, float>(x, weight.transpose(0, 1), y, [&](auto& p) {
    p.epilogue = Epilogue::kBias;
    p.bias = data_or_null<float>(row);
  });
}

/// The result where K is 0: the bias alone.
void fill_with_bias(Tensor& y, const Tensor& bias) {
  if (bias.defined()) {
    y.copy_(bias);
  } else {
    y.zero_();
  }
}

Tensor empty_result(const Tensor& x, int64_t N, DType dtype) {
  Shape shape = x.shape();
  shape[shape.size() - 1] = N;
  return Tensor::empty(shape, dtype, x.device());
}

}  // namespace

Tensor as_rows(const Tensor& x) {
  int64_t rows = 1;
  for (int64_t i = 0; i + 1 < x.ndim(); ++i) { rows *= x.dim(i); }
  return x.reshape({rows, x.dim(-1)});
}

void matmul_into(const Tensor& a, const Tensor& b, Tensor& c, Write write) {
  check_one_device("matmul_into", {{"a", a}, {"b", b}, {"c", c}});
  check_product(a, b, "matmul");
  check_ndim(a, 2, "matmul_into", "a");
  check_ndim(b, 2, "matmul_into", "b");
  check_shape(c, {a.dim(0), b.dim(1)}, "matmul_into", "c");
  check_dtype(c, a.dtype(), "matmul_into", "c");
  c.bump_version();
  if (c.numel() == 0) { return; }
  if (a.dim(1) == 0) {
    if (write == Write::kOverwrite) { c.zero_(); }
    return;
  }
  if (c.dim(1) != 1 && c.strides()[1] != 1) {
    throw ShapeError(cat("matmul_into: the rows of c must be contiguous, its strides are ", c.strides()));
  }
  multiply(a, b, c, "matmul", [write](auto& p) { p.write = write; });
}

Tensor matmul(const Tensor& a, const Tensor& b) {
  check_product(a, b, "matmul");
  const Shape lead_a(a.shape().begin(), a.shape().end() - 2), lead_b(b.shape().begin(), b.shape().end() - 2);
  Shape lead = broadcast_shapes(lead_a, lead_b, "matmul");
  const int64_t batch = lead.numel(), M = a.dim(-2), K = a.dim(-1), N = b.dim(-1);
  const auto full = [&](int64_t rows, int64_t cols) {
    Shape s = lead;
    s.push_back(rows);
    s.push_back(cols);
    return s;
  };
  Tensor c = Tensor::empty(full(M, N), a.dtype(), a.device());
  if (lead_b.numel() == 1 && a.is_contiguous() && lead == lead_a) {  // one matrix for all: a single tall product
    Tensor rows = c.view({batch * M, N});
    matmul_into(a.view({batch * M, K}), b.reshape({K, N}), rows);
    return c;
  }
  multiply_batches(a.expand(full(M, K)).reshape({batch, M, K}), b.expand(full(K, N)).reshape({batch, K, N}),
                   c.view({batch, M, N}));
  return c;
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) { return linear(x, weight, bias, x.dtype()); }

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, DType result) {
  check_linear(x, weight, bias, result, "linear");
  Tensor y = empty_result(x, weight.dim(0), result);
  if (y.numel() == 0) { return y; }
  if (x.dim(-1) == 0) {
    fill_with_bias(y, bias);
    return y;
  }
  Tensor rows = as_rows(y);
  if (is_read_narrow(x, weight)) {
    multiply_by_narrow(as_rows(x).contiguous(), weight, bias.defined() ? bias.contiguous() : Tensor(), rows);
  } else if (result != x.dtype()) {
    run_linear_to_f32(as_rows(x), weight, bias, rows);
  } else {
    run_linear(as_rows(x), weight, bias, rows, Epilogue::kBias, Tensor(), "linear");
  }
  return y;
}

Tensor linear_gelu(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor* pre_activation) {
  check_linear(x, weight, bias, x.dtype(), "linear_gelu");
  if (is_read_narrow(x, weight) || x.numel() == 0 || weight.numel() == 0) {
    const Tensor value = linear(x, weight, bias);
    if (pre_activation != nullptr) { *pre_activation = value; }
    return apply(GeluTanh{}, value);
  }
  Tensor y = empty_result(x, weight.dim(0), x.dtype());
  if (pre_activation != nullptr) { *pre_activation = Tensor::empty(y.shape(), y.dtype(), y.device()); }
  Tensor rows = as_rows(y);
  run_linear(as_rows(x), weight, bias, rows, Epilogue::kBiasGelu,
             pre_activation == nullptr ? Tensor() : *pre_activation, "linear_gelu");
  return y;
}

LinearGradients linear_parameter_gradients(const Tensor& dy, const Tensor& x, LinearWanted wanted) {
  check_one_device("linear", {{"dy", dy}, {"x", x}});
  const int64_t N = dy.dim(-1), K = x.dim(-1);
  LinearGradients d;
  if (!wanted.weight) {
    if (wanted.bias) { d.bias = sum(as_rows(dy), {0}); }
    return d;
  }
  d.weight = Tensor::empty({N, K}, dy.dtype(), dy.device());
  if (wanted.bias) { d.bias = Tensor::empty({N}, dy.dtype(), dy.device()); }
  const Tensor rows = as_rows(dy).contiguous(), inputs = as_rows(x);
  if (rows.numel() == 0 || inputs.numel() == 0) {
    d.weight.zero_();
    if (d.bias.defined()) { d.bias.copy_(sum(rows, {0})); }
    return d;
  }
  multiply(rows.transpose(0, 1), inputs, d.weight, "linear", [&](auto& p) {
    using T = std::remove_pointer_t<decltype(p.c)>;
    p.sums_of_a = data_or_null<T>(d.bias);
  });
  return d;
}

GeluGradients linear_gelu_gradients(const Tensor& dy, const Tensor& weight, const Tensor& pre_activation,
                                    BiasGradient bias) {
  check_one_device("linear_gelu", {{"dy", dy}, {"weight", weight}, {"pre_activation", pre_activation}});
  const int64_t K = weight.dim(1);
  GeluGradients d;
  d.pre_activation = Tensor::empty(pre_activation.shape(), dy.dtype(), dy.device());
  if (bias == BiasGradient::kYes) { d.bias = Tensor::empty({K}, dy.dtype(), dy.device()); }
  if (d.pre_activation.numel() == 0 || weight.dim(0) == 0) {
    d.pre_activation.zero_();
    if (d.bias.defined()) { d.bias.zero_(); }
    return d;
  }
  const Tensor packed = pre_activation.contiguous();
  multiply(as_rows(dy), weight, as_rows(d.pre_activation), "linear_gelu", [&](auto& p) {
    using T = std::remove_pointer_t<decltype(p.c)>;
    p.epilogue = Epilogue::kGeluBackward;
    p.pre_activation = packed.data<T>();
    p.column_sums = data_or_null<T>(d.bias);
  });
  return d;
}

}  // namespace terrace
