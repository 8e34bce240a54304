#include "tensor/overlap.h"

namespace terrace {
namespace {

/// Bytes from the first element to the end of the last. No stride is negative: no view reverses a dimension.
int64_t span_bytes(const Tensor& t) {
  int64_t last = 0;
  for (int64_t i = 0; i < t.ndim(); ++i) { last += (t.shape()[i] - 1) * t.strides()[i]; }
  return (last + 1) * size_of(t.dtype());
}

bool same_places(const Tensor& a, const Tensor& b) {
  if (a.raw_data() != b.raw_data() || a.dtype() != b.dtype()) { return false; }
  for (int64_t i = 0; i < a.ndim(); ++i) {
    if (a.shape()[i] != 1 && a.strides()[i] != b.strides()[i]) { return false; }
  }
  return true;
}

}  // namespace

void check_writable(const Tensor& target, const char* op) {
  // Of all views only expand() maps two indices to one place, by a stride of 0; later views keep that stride.
  for (int64_t i = 0; i < target.ndim(); ++i) {
    if (target.shape()[i] > 1 && target.strides()[i] == 0 && target.numel() > 0) {
      throw ShapeError(cat(op, ": cannot write to ", target.describe(),
                           ", an expanded view: all elements along dimension ", i,
                           " are one place in memory; clone() it first"));
    }
  }
}

Tensor source_for_write(const Tensor& target, const Tensor& source) {
  if (!target.shares_storage_with(source) || target.numel() == 0 || same_places(target, source)) { return source; }
  const auto* a = static_cast<const std::byte*>(target.raw_data());
  const auto* b = static_cast<const std::byte*>(source.raw_data());
  const bool disjoint = a + span_bytes(target) <= b || b + span_bytes(source) <= a;
  return disjoint ? source : source.clone();
}

}  // namespace terrace
