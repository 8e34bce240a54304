// Activation checkpointing: memory for time.
#pragma once

#include <functional>
#include <vector>

#include "autograd/variable.h"

namespace terrace {

/// Computes fn(inputs) without keeping what its backward needs, and computes it again when the gradient arrives.
/// Variables that fn captures (parameters) get their gradients too. The default generator is put back for the second
/// computation, so dropout draws the same numbers: gradients are bit-identical to those without checkpointing.
///
/// Limits: the gradients of captured variables go to their grad(); grad() with explicit inputs sees only `inputs`.
/// Errors: those of fn. Source: Chen et al., "Training deep nets with sublinear memory cost", 2016.
Variable checkpoint(const std::function<Variable(const std::vector<Variable>&)>& fn,
                    const std::vector<Variable>& inputs);

}  // namespace terrace
