#include "nn/compute_copies.h"

#include "autograd/node.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

thread_local const ComputeCopies* current = nullptr;

const void* identity(const Variable& v) { return v.impl().get(); }

}  // namespace

ComputeCopies::ComputeCopies(const NamedParameters& masters) {
  for (const auto& [name, master] : masters) {
    const Tensor& value = master.value();
    if (value.dtype() != DType::kF32) {
      throw DTypeError(cat("ComputeCopies: ", name, " must be f32, got ", value.describe()));
    }
    entries_[identity(master)] = {master, Tensor::empty(value.shape(), DType::kBF16, value.device())};
  }
  refresh();
}

void ComputeCopies::refresh() const {
  for (const auto& [key, entry] : entries_) { Tensor(entry.copy).copy_(entry.master.value()); }
}

Tensor ComputeCopies::of(const Variable& master) const {
  const auto found = entries_.find(identity(master));
  return found == entries_.end() ? Tensor() : found->second.copy;
}

ComputeWith::ComputeWith(const ComputeCopies& copies) : previous_(current) { current = &copies; }
ComputeWith::~ComputeWith() { current = previous_; }

Variable compute_copy(const Variable& parameter) {
  if (current == nullptr || !parameter.defined()) { return parameter; }
  const Tensor copy = current->of(parameter);
  if (!copy.defined()) { return parameter; }
  return record("compute_copy", copy, {parameter}, [](const Tensor& dy) -> Gradients { return {dy.to(DType::kF32)}; });
}

}  // namespace terrace
