// Training in bf16 with f32 master weights: products compute with bf16 copies, the parameters themselves stay f32.
//
//   ComputeCopies copies(model.matrices());        // made from the masters
//   optimizer.write_copies(copies);                // and made anew by every step, in the pass that updates the masters
//   {
//     const ComputeWith scope(copies);
//     loss = model.forward(...);                   // layers take the copies, see compute_copy()
//     loss.backward();                             // gradients of the masters, f32
//   }
#pragma once

#include <unordered_map>

#include "nn/module.h"

namespace terrace {

/// bf16 copies of f32 parameters, on the parameters' device. Made once the parameters are where they compute. Handles:
/// copies of this object are the same tensors.
class ComputeCopies {
 public:
  ComputeCopies() = default;  // of nothing
  /// Throws DTypeError that names a parameter which is not f32.
  explicit ComputeCopies(const NamedParameters& masters);

  /// Makes all copies anew, for masters that were written by other means than the optimizer: a checkpoint's.
  void refresh() const;
  /// The copy, undefined where the parameter has none.
  Tensor of(const Variable& master) const;

 private:
  struct Entry {
    Variable master;
    Tensor copy;
  };
  std::unordered_map<const void*, Entry> entries_;  // by the variable's identity
};

/// While it lives, layers of this thread compute with the copies. `copies` outlives it.
class ComputeWith {
 public:
  explicit ComputeWith(const ComputeCopies& copies);
  ~ComputeWith();
  ComputeWith(const ComputeWith&) = delete;
  ComputeWith& operator=(const ComputeWith&) = delete;

 private:
  const ComputeCopies* previous_;
};

/// What a layer computes with in place of a parameter: its copy, where a ComputeWith lives that has one, else the
/// parameter itself. The copy's gradient is converted and goes to the parameter, so that what several passes add up is
/// added in f32. An undefined parameter stays undefined.
Variable compute_copy(const Variable& parameter);

}  // namespace terrace
