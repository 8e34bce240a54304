// Cross-entropy between rows of logits and class indices, fused with the log-softmax.
#pragma once

#include "autograd/variable.h"

namespace terrace {

/// The loss of each item; its mean is mean(cross_entropy(...)).
///
///   loss = lse - (1-s) x_t - s/V sum_j x_j,  lse = log sum_j exp(x_j)
///   dx_j = dloss * (exp(x_j - lse) - (1-s) [j = t] - s/V)
///
/// which is the cross-entropy with the target distribution (1-s) onehot(t) + s/V, without writing the probabilities.
///
/// Shapes: logits (N.., V), targets i64 (N..); the result is (N..), f32 for bf16 logits, else of the logits' type.
/// Arguments: `label_smoothing` s in [0, 1].
/// Saves: the logits, and of every row the maximum and the logarithm of its sum of exponentials (f32, f64 for f64).
/// Errors: ShapeError where targets is not (N..), IndexError naming the first target outside [0, V), DTypeError unless
///   the logits are f32, bf16 or f64 and the targets i64, ConfigError for s outside [0, 1].
/// Numerics: the row's maximum is subtracted; sums in f32 (f64 for f64), in an order fixed by V. A logit of -inf has
///   probability 0; with label smoothing it makes the loss infinite, as it must.
/// Source: torch.nn.functional.cross_entropy with reduction="none".
Variable cross_entropy(const Variable& logits, const Tensor& targets, double label_smoothing = 0);

}  // namespace terrace
