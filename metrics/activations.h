// The activations of a batch of images that metrics read.
#pragma once

#include "tensor/tensor.h"

namespace terrace {

/// f32, one row for each image; undefined where the network was not asked.
struct Activations {
  Tensor features;  // (B, d)
  Tensor spatial;   // (B, 2023)
  Tensor logits;    // (B, 1008)
};

}  // namespace terrace
