// The two forms of a batch of images: bytes as files hold them, and what networks compute with.
#pragma once

#include "tensor/tensor.h"

namespace terrace {

/// u8 (B, H, W, 3) to f32 (B, 3, H, W): x / 127.5 - 1; and back, with clamping and rounding.
Tensor images_to_float(const Tensor& images);
Tensor images_to_bytes(const Tensor& images);

}  // namespace terrace
