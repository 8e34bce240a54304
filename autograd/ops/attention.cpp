#include "autograd/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/node.h"
#include "autograd/ops/view.h"
#include "tensor/device/parallel_size.h"
#include "tensor/kernels/attention.h"
#include "tensor/pointwise.h"
#include "tensor/reduce.h"

namespace terrace {

Visibility Visibility::pyramid(const std::vector<int64_t>& patch_nums) {
  Visibility visibility;
  int64_t end = 0;
  for (const int64_t patch : patch_nums) {
    if (patch < 1) { throw ShapeError(cat("Visibility::pyramid: patch numbers must be 1 or more, got ", patch)); }
    visibility.ends.push_back(end += patch * patch);
  }
  return visibility;
}

namespace {

/// scale_mul is clamped at ln 100.
constexpr Clamp kScaleMulClamp{-std::numeric_limits<double>::infinity(), 4.605170185988092};

/// A problem and the blocks that it points at, for the closure of the backward pass.
struct Plan {
  AttentionProblem problem{};
  std::vector<AttentionBlock> blocks;

  AttentionProblem get() const {
    AttentionProblem p = problem;
    p.blocks = blocks.data();
    p.block_count = static_cast<int64_t>(blocks.size());
    const bool small = p.B * p.H * p.Lq * p.Lk * p.D < kMinParallelProducts;
    p.threads = small ? 1 : std::max<int64_t>(1, std::min<int64_t>(threads(), p.B * p.H));
    return p;
  }
};

Plan make_plan(const char* op, int64_t B, int64_t H, int64_t Lq, int64_t Lk, int64_t D, const Visibility& visibility,
               double scale) {
  if (D < 1 || H < 1) { throw ShapeError(cat(op, ": needs a head and a channel at least, got H = ", H, ", D = ", D)); }
  if (!std::isfinite(scale) || scale == 0) {
    throw ConfigError(cat(op, ": the scale must be a finite number other than 0, got ", scale));
  }
  Plan plan;
  plan.problem = {B, H, Lq, Lk, D, nullptr, 0, scale, 1};
  if (visibility.ends.empty()) {
    if (Lk == 0 && Lq > 0) { throw ShapeError(cat(op, ": ", Lq, " queries have no key to see (Lk = 0)")); }
    plan.blocks.push_back({0, Lq, Lk});
    return plan;
  }
  int64_t begin = 0;
  for (const int64_t end : visibility.ends) {
    if (end <= begin) {
      throw ShapeError(cat(op, ": visibility ends must ascend from above 0, got ", end, " after ", begin));
    }
    plan.blocks.push_back({begin, end, end});
    begin = end;
  }
  if (begin != Lq || begin != Lk) {
    throw ShapeError(cat(op, ": visibility ends at token ", begin, ", but there are ", Lq, " queries and ", Lk,
                         " keys; use Visibility::full() for a cache"));
  }
  return plan;
}

template <class T>
AttentionRows<const T> rows_of(const Tensor& t) {  // (B, L, H, D)
  return {t.data<T>(), t.strides()[0], t.strides()[1], t.strides()[2]};
}
template <class T>
AttentionRows<T> output_rows(Tensor& t) {
  return {t.data<T>(), t.strides()[0], t.strides()[1], t.strides()[2]};
}

/// `t` itself where its channels are contiguous, else a copy.
Tensor readable(const Tensor& t) { return t.dim(-1) <= 1 || t.strides()[t.ndim() - 1] == 1 ? t : t.contiguous(); }

/// One third of (B, L, 3C) as (B, L, H, D): a view.
Tensor third(const Tensor& qkv, int64_t which, int64_t heads) {
  const int64_t C = qkv.dim(2) / 3;
  return qkv.slice(2, which * C, (which + 1) * C).view({qkv.dim(0), qkv.dim(1), heads, C / heads});
}

struct Operands {
  Tensor q, k, v;      // (B, L, H, D)
  Tensor head_factor;  // (H) or undefined
};

/// `per_thread` elements for each thread of the CPU's kernels; empty on other devices, whose kernels need none.
Tensor make_workspace(const AttentionProblem& p, int64_t per_thread, DType dtype, Device device) {
  return Tensor::empty({device.is_cpu() ? p.threads * per_thread : 0}, dtype, device);
}

DType accumulator_of(DType dtype) { return dtype == DType::kF64 ? DType::kF64 : DType::kF32; }

/// Returns y (B, Lq, H, D); lse is filled where it is defined.
Tensor run_forward(const char* op, const Plan& plan, const Operands& in, const Tensor& lse) {
  const AttentionProblem p = plan.get();
  Tensor y = Tensor::empty({p.B, p.Lq, p.H, p.D}, in.q.dtype(), in.q.device());
  visit_floating(in.q.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Accumulator<T>;
    const Tensor workspace = make_workspace(p, attention_forward_workspace(p), kDTypeOf<A>, in.q.device());
    attention_forward<T>(in.q.device(), p, rows_of<T>(in.q), rows_of<T>(in.k), rows_of<T>(in.v),
                         data_or_null<A>(in.head_factor), output_rows<T>(y), data_or_null<A>(lse), workspace.data<A>());
  });
  return y;
}

/// Fills dq, dk, dv (B, L, H, D; may be views) and, where it is defined, dlog_factor (B, H).
void run_backward(const char* op, const Plan& plan, const Operands& in, const Tensor& y, const Tensor& lse,
                  const Tensor& dy, Tensor dq, Tensor dk, Tensor dv, Tensor dlog_factor) {
  const AttentionProblem p = plan.get();
  const Tensor y_rows = y.view({p.B, p.Lq, p.H, p.D});
  const Tensor dy_rows = dy.contiguous().view({p.B, p.Lq, p.H, p.D});
  visit_floating(in.q.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Accumulator<T>;
    const Tensor workspace = make_workspace(p, attention_backward_workspace(p), kDTypeOf<A>, in.q.device());
    attention_backward<T>(in.q.device(), p, rows_of<T>(in.q), rows_of<T>(in.k), rows_of<T>(in.v),
                          data_or_null<A>(in.head_factor), rows_of<T>(y_rows), lse.data<A>(), rows_of<T>(dy_rows),
                          output_rows<T>(dq), output_rows<T>(dk), output_rows<T>(dv), data_or_null<A>(dlog_factor),
                          workspace.data<A>());
  });
}

Tensor make_lse(const Plan& plan, const Tensor& q) {
  return Tensor::empty({plan.problem.B, plan.problem.H, plan.problem.Lq}, accumulator_of(q.dtype()), q.device());
}

}  // namespace

Variable attention(const Variable& q, const Variable& k, const Variable& v, const Visibility& visibility,
                   double scale) {
  const char* op = "attention";
  check_one_device(op, {{"q", q.value()}, {"k", k.value()}, {"v", v.value()}});
  check_ndim(q.value(), 4, op, "q");
  check_ndim(k.value(), 4, op, "k");
  const int64_t B = q.dim(0), Lq = q.dim(1), H = q.dim(2), D = q.dim(3), Lk = k.dim(1);
  check_shape(k.value(), {B, Lk, H, D}, op, "k");
  check_shape(v.value(), {B, Lk, H, D}, op, "v");
  check_dtype(k.value(), q.dtype(), op, "k");
  check_dtype(v.value(), q.dtype(), op, "v");
  const Plan plan = make_plan(op, B, H, Lq, Lk, D, visibility, scale);
  const Operands in{readable(q.value()), readable(k.value()), readable(v.value()), {}};
  const Tensor lse = needs_grad({q, k, v}) ? make_lse(plan, in.q) : Tensor();
  const Tensor y = run_forward(op, plan, in, lse).view({B, Lq, H * D});
  return record(
      op, y, {q, k, v},
      [plan, q = Saved(in.q), k = Saved(in.k), v = Saved(in.v), y = Saved(y), lse](const Tensor& dy) -> Gradients {
        const Operands saved{q.get("attention"), k.get("attention"), v.get("attention"), {}};
        Tensor dq = Tensor::empty(saved.q.shape(), saved.q.dtype(), saved.q.device());
        Tensor dk = Tensor::empty(saved.k.shape(), saved.k.dtype(), saved.k.device());
        Tensor dv = Tensor::empty(saved.v.shape(), saved.v.dtype(), saved.v.device());
        run_backward("attention", plan, saved, y.get("attention"), lse, dy, dq, dk, dv, {});
        return {dq, dk, dv};
      });
}

Variable pyramid_attention(const Variable& qkv, int64_t heads, const Variable& scale_mul, const Visibility& visibility,
                           double softmax_scale) {
  const char* op = "pyramid_attention";
  check_ndim(qkv.value(), 3, op, "qkv");
  const int64_t B = qkv.dim(0), L = qkv.dim(1), C = qkv.dim(2) / 3;
  if (heads < 1 || qkv.dim(2) % (3 * heads) != 0) {
    throw ShapeError(cat(op, ": the last dimension of qkv must be 3 x heads x D with ", heads, " heads, got ",
                         qkv.value().describe()));
  }
  const Plan plan = make_plan(op, B, heads, L, L, C / heads, visibility, softmax_scale);
  const Tensor rows = readable(qkv.value());
  Tensor scales, clamped, factor;  // (H)
  if (scale_mul.defined()) {
    check_one_device(op, {{"qkv", qkv.value()}, {"scale_mul", scale_mul.value()}});
    check_shape(scale_mul.value(), {1, heads, 1, 1}, op, "scale_mul");
    check_dtype(scale_mul.value(), accumulator_of(qkv.dtype()), op, "scale_mul");
    scales = scale_mul.value().contiguous().view({heads});
    clamped = apply(kScaleMulClamp, scales);
    factor = apply(Exp{}, clamped);
  }
  const auto operands = [heads](const Tensor& x, const Tensor& head_factor) {
    return Operands{third(x, 0, heads), third(x, 1, heads), third(x, 2, heads), head_factor};
  };
  const Tensor lse = needs_grad({qkv, scale_mul}) ? make_lse(plan, rows) : Tensor();
  const Tensor y = run_forward(op, plan, operands(rows, factor), lse).view({B, L, C});
  return record(op, y, {qkv, scale_mul},
                [plan, heads, operands, x = Saved(rows), scales = Saved(scales), y = Saved(y), clamped, factor,
                 lse](const Tensor& dy) -> Gradients {
                  const char* name = "pyramid_attention";
                  const Operands saved = operands(x.get(name), factor);
                  Tensor dqkv = Tensor::empty(x.get(name).shape(), dy.dtype(), dy.device());
                  Tensor dlog;
                  if (factor.defined()) {
                    dlog = Tensor::empty({plan.problem.B, heads}, factor.dtype(), factor.device());
                  }
                  run_backward(name, plan, saved, y.get(name), lse, dy, third(dqkv, 0, heads), third(dqkv, 1, heads),
                               third(dqkv, 2, heads), dlog);
                  if (!factor.defined()) { return {dqkv, Tensor()}; }
                  const Tensor dclamped = sum(dlog, {0});
                  const Tensor dscale = apply_backward(kScaleMulClamp, scales.get(name), clamped, dclamped);
                  return {dqkv, dscale.view({1, heads, 1, 1})};
                });
}

Variable feature_map_attention(const Variable& qkv, double scale) {
  const char* op = "feature_map_attention";
  check_ndim(qkv.value(), 4, op, "qkv");
  const int64_t B = qkv.dim(0), C = qkv.dim(1) / 3, H = qkv.dim(2), W = qkv.dim(3);
  if (qkv.dim(1) < 3 || qkv.dim(1) % 3 != 0) {
    throw ShapeError(cat(op, ": qkv must be (B, 3C, H, W), got ", qkv.value().describe()));
  }
  const Variable tokens = transpose(reshape(qkv, {B, 3 * C, H * W}), 1, 2);
  const Variable y = pyramid_attention(tokens, 1, {}, Visibility::full(), scale);
  return reshape(transpose(y, 1, 2), {B, C, H, W});
}

}  // namespace terrace
