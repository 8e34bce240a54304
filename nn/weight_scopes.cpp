#include "nn/weight_scopes.h"

#include "tensor/base/error.h"

namespace terrace {
namespace {

thread_local DType current_type = DType::kF32;
thread_local bool draws = true;

}  // namespace

LinearWeightsIn::LinearWeightsIn(DType dtype) : previous_(current_type) {
  if (dtype != DType::kF32 && dtype != DType::kBF16) {
    throw DTypeError(cat("weights of linear layers are kept in f32 or bf16, not in ", dtype));
  }
  current_type = dtype;
}

LinearWeightsIn::~LinearWeightsIn() { current_type = previous_; }

WithoutInitialValues::WithoutInitialValues() : previous_(draws) { draws = false; }

WithoutInitialValues::~WithoutInitialValues() { draws = previous_; }

DType linear_weight_type() { return current_type; }

bool draws_initial_values() { return draws; }

}  // namespace terrace
