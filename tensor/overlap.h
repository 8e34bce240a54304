// What writing in place has to know of memory that tensors share.
#pragma once

#include "tensor/tensor.h"

namespace terrace {

/// Throws ShapeError naming `op` where several elements of `target` are one place in memory, as after expand(): what
/// would be written there depends on the order.
void check_writable(const Tensor& target, const char* op);

/// `source` (of target's shape), or a copy of it where writing `target` element by element would change elements of
/// `source` that are still to be read: where the two share memory and their equal indices do not share their places.
Tensor source_for_write(const Tensor& target, const Tensor& source);

}  // namespace terrace
