// Activation checkpointing: memory for time.
#pragma once

#include <functional>
#include <vector>

#include "autograd/variable.h"

namespace terrace {

/// Computes fn(inputs) without keeping what its backward needs, and computes it again when the gradient arrives. The
/// graph of the second computation takes the place of the checkpoint in the backward pass that is under way: gradients
/// reach `inputs` and whatever fn captures (parameters, results of other ops, results of other checkpoints) one by one,
/// in the order that they would have had without checkpointing, so their sums are bit-identical, hooks see complete
/// gradients, and grad() may ask for any of them. The default generator is put back for the second computation, so
/// dropout draws the same numbers, and returned to its place afterwards, by an error too.
///
/// fn must compute the same both times: it may use no other generator, and no captured value that changes in between.
/// The result counts as one that needs a gradient, even where nothing inside fn does.
/// Errors: those of fn; AutogradError where an input was changed or replaced in between, or the second result has
/// another shape or dtype. Source: Chen et al., "Training deep nets with sublinear memory cost", 2016.
Variable checkpoint(const std::function<Variable(const std::vector<Variable>&)>& fn,
                    const std::vector<Variable>& inputs);

}  // namespace terrace
