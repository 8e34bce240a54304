#include "tensor/base/shape.h"

#include <algorithm>

#include "tensor/base/error.h"
#include "tensor/base/loop_plan.h"

namespace terrace {

int64_t Shape::numel() const {
  int64_t n = 1;
  for (int64_t d : dims_) { n *= d; }
  return n;
}

Shape Shape::contiguous_strides() const {
  Shape strides(dims_);
  int64_t step = 1;
  for (int64_t i = size() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= (*this)[i];
  }
  return strides;
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '(';
  for (int64_t i = 0; i < shape.size(); ++i) { out << (i ? ", " : "") << shape[i]; }
  return out << (shape.size() == 1 ? ",)" : ")");
}

Shape broadcast_shapes(const Shape& a, const Shape& b, const char* op) {
  const int64_t ndim = std::max(a.size(), b.size());
  Shape out(std::vector<int64_t>(static_cast<size_t>(ndim), 1));
  for (int64_t i = 1; i <= ndim; ++i) {
    const int64_t da = i <= a.size() ? a[a.size() - i] : 1;
    const int64_t db = i <= b.size() ? b[b.size() - i] : 1;
    if (da != db && da != 1 && db != 1) {
      throw ShapeError(cat(op, ": shapes ", a, " and ", b, " do not broadcast: dimension -", i, " is ", da, " against ",
                           db, "; they must be equal or one of them 1"));
    }
    out[ndim - i] = da == 1 ? db : da;
  }
  return out;
}

int64_t normalize_dim(int64_t dim, int64_t ndim, const char* op) {
  if (dim < -ndim || dim >= ndim) {
    throw IndexError(cat(op, ": dimension ", dim, " is out of range for a tensor of ", ndim, " dimensions"));
  }
  return dim < 0 ? dim + ndim : dim;
}

void throw_too_many_dims(const Shape& shape) {
  throw ShapeError(cat("a tensor of shape ", shape, " needs more than ", kMaxDims, " nested loops"));
}

Shape broadcast_strides(const Shape& t_shape, const Shape& strides, const Shape& to) {
  Shape out(std::vector<int64_t>(static_cast<size_t>(to.size()), 0));
  const int64_t lead = to.size() - t_shape.size();
  for (int64_t i = 0; i < t_shape.size(); ++i) { out[lead + i] = t_shape[i] == 1 ? 0 : strides[i]; }
  return out;
}

}  // namespace terrace
