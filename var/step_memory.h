// The memory that a training step takes at least, from a configuration alone: before anything is allocated.
//
// A lower bound, so that nothing is refused that would fit: weights, their gradients and AdamW's two moments, and what
// the graph keeps of the forward pass for the backward one. Left out are the buffers of kernels, the memory of
// libraries and the gradients of activations, which live for an op or two each. Measured peaks (MemoryStats::peak) are
// 1 to 2 times as much, from the batch on at which activations weigh more than weights; tests/var/step_memory.cpp
// compares.
#pragma once

#include "var/config.h"
#include "var/vqvae_config.h"

namespace terrace {

/// What of a step's memory the batch decides, and what it does not.
struct StepMemory {
  double fixed = 0;      // bytes: weights, gradients, moments; 16 a weight
  double per_image = 0;  // bytes of activations

  double of(double images) const { return fixed + images * per_image; }
};

/// The tokenizer: of every residual block the maps of its two convolutions and its result, of C x H x W f32 each.
StepMemory step_memory(const VqvaeConfig& config);

/// The transformer: of every block and token 8 vectors of C (the residual stream, the inputs of both branches, q, k and
/// v, attention's result) and one of the MLP's width, with `recompute` one of C; and of every token its logits with
/// their gradient in f32. `bytes` a number of the activations: 4 for f32, 2 for bf16.
StepMemory step_memory(const VarConfig& config, int bytes, bool recompute);

}  // namespace terrace
