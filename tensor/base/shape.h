// Shape: the extents of a tensor, outermost first. () is a scalar.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <vector>

namespace terrace {

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : dims_(dims) {}
  explicit Shape(std::vector<int64_t> dims) : dims_(std::move(dims)) {}
  template <class It>
  Shape(It first, It last) : dims_(first, last) {}

  int64_t size() const { return static_cast<int64_t>(dims_.size()); }
  bool empty() const { return dims_.empty(); }
  int64_t operator[](int64_t i) const { return dims_[static_cast<size_t>(i)]; }
  int64_t& operator[](int64_t i) { return dims_[static_cast<size_t>(i)]; }
  int64_t back() const { return dims_.back(); }
  auto begin() const { return dims_.begin(); }
  auto end() const { return dims_.end(); }
  void push_back(int64_t d) { dims_.push_back(d); }
  void insert(int64_t at, int64_t d) { dims_.insert(dims_.begin() + at, d); }
  void erase(int64_t at) { dims_.erase(dims_.begin() + at); }
  const std::vector<int64_t>& vector() const { return dims_; }
  bool operator==(const Shape&) const = default;

  int64_t numel() const;             // product; 1 for a scalar
  Shape contiguous_strides() const;  // in elements

 private:
  std::vector<int64_t> dims_;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape);  // (2, 16, 768)

/// Numpy's rule: align at the right, an extent of 1 stretches. Throws ShapeError naming `op` and both shapes.
Shape broadcast_shapes(const Shape& a, const Shape& b, const char* op);

/// Maps a possibly negative dimension to [0, ndim). Throws IndexError naming `op`.
int64_t normalize_dim(int64_t dim, int64_t ndim, const char* op);

}  // namespace terrace
