// Counting values.
#pragma once

#include "tensor/tensor.h"

namespace terrace {

/// How often each of 0..n-1 occurs.
///
///   y[v] = number of elements of x equal to v;   no gradient
///
/// Shapes: x of any shape, i64; the result is (n), i64, with n = max(minlength, 1 + largest element).
/// Errors: IndexError for a negative element and for one of 2^32 or more, ConfigError for a negative minlength,
///   DTypeError unless i64.
/// Numerics: exact. Counted on the host, on whichever device x is: n, the extent of the result, is known there alone.
/// Source: torch.bincount.
Tensor bincount(const Tensor& x, int64_t minlength = 0);

}  // namespace terrace
