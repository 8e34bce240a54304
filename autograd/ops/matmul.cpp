#include "autograd/ops/matmul.h"

#include <algorithm>

#include "autograd/ops/rows.h"
#include "tensor/matmul.h"
#include "tensor/reduce.h"

namespace terrace {

Variable matmul(const Variable& a, const Variable& b) {
  return record("matmul", matmul(a.value(), b.value()), {a, b},
                [saved_a = Saved(a), saved_b = Saved(b), need_a = a.requires_grad(),
                 need_b = b.requires_grad()](const Tensor& dy) -> Gradients {
                  const Tensor &av = saved_a.get("matmul"), &bv = saved_b.get("matmul");
                  Gradients d(2);
                  if (need_a) { d[0] = sum_to(matmul(dy, bv.transpose(-2, -1)), av.shape()); }
                  if (need_b && bv.ndim() == 2 &&
                      bv.dim(1) > 0) {  // one matrix for all batches: one product over the rows of all
                    const int64_t K = bv.dim(0), N = bv.dim(1), rows = dy.numel() / std::max<int64_t>(N, 1);
                    d[1] = matmul(av.reshape({rows, K}).transpose(0, 1), dy.reshape({rows, N}));
                  } else if (need_b) {
                    d[1] = sum_to(matmul(av.transpose(-2, -1), dy), bv.shape());
                  }
                  return d;
                });
}

Variable linear(const Variable& x, const Variable& weight, const Variable& bias) {
  return linear(x, weight, bias, x.dtype());
}

Variable linear(const Variable& x, const Variable& weight, const Variable& bias, DType result) {
  const Tensor bias_value = value_or_none(bias);
  std::vector<Variable> inputs{x, weight};
  if (bias.defined()) { inputs.push_back(bias); }
  return record(
      "linear", linear(x.value(), weight.value(), bias_value, result), inputs,
      [saved_x = Saved(x), saved_weight = Saved(weight), need_x = x.requires_grad(),
       need_weight = weight.requires_grad(), has_bias = bias.defined(),
       need_bias = bias.requires_grad()](const Tensor& dy) -> Gradients {
        const Tensor &xv = saved_x.get("linear"), &wv = saved_weight.get("linear");
        const Tensor rounded = dy.to(xv.dtype());
        const bool same_type = dy.dtype() == xv.dtype();
        Gradients d(has_bias ? 3 : 2);
        if (need_x) { d[0] = matmul(as_rows(rounded), wv).reshape(xv.shape()); }
        LinearGradients parameters = linear_parameter_gradients(rounded, xv, {need_weight, need_bias && same_type});
        d[1] = std::move(parameters.weight);
        if (has_bias) { d[2] = need_bias && !same_type ? sum(as_rows(dy), {0}) : std::move(parameters.bias); }
        return d;
      });
}

}  // namespace terrace
