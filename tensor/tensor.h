// Tensor: a strided handle over shared storage. Copying a Tensor copies the handle; views share the storage.
//
//   Tensor x = Tensor::zeros({2, 3});
//   Tensor y = x.transpose(0, 1);       // a view: no copy
//   y.fill_(1);                         // x sees it, and x.version() has moved
//   const float* p = x.contiguous().data<float>();
//
// Functions that end in _ write in place and bump the storage's version, which autograd checks.
#pragma once

#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensor/base/dtype.h"
#include "tensor/base/error.h"
#include "tensor/base/shape.h"
#include "tensor/device/device.h"

namespace terrace {

/// Reference-counted memory of one device. `version` counts in-place writes.
class Storage {
 public:
  Storage(int64_t bytes, Device device);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  uint64_t version = 0;

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
  Device device_;
  int tag_ = 0;
};

class Tensor {
 public:
  Tensor() = default;  // undefined: defined() is false; what needs memory throws an Error that says so

  // --- Making tensors ---
  static Tensor empty(const Shape& shape, DType dtype = DType::kF32, Device device = kCpu);
  static Tensor zeros(const Shape& shape, DType dtype = DType::kF32, Device device = kCpu);
  static Tensor full(const Shape& shape, double value, DType dtype = DType::kF32, Device device = kCpu);
  static Tensor scalar(double value, DType dtype = DType::kF32);
  static Tensor arange(int64_t count, DType dtype = DType::kI64);
  template <class T>
  static Tensor from(std::span<const T> values, const Shape& shape);
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape) {
    return from(std::span<const T>(values), shape);
  }

  // --- What it is ---
  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  const Shape& strides() const { return strides_; }  // in elements
  int64_t dim(int64_t i) const { return shape_[normalize_dim(i, ndim(), "dim")]; }
  int64_t ndim() const { return shape_.size(); }
  int64_t numel() const { return shape_.numel(); }
  DType dtype() const { return dtype_; }
  Device device() const { return storage("device").device(); }
  bool is_contiguous() const;
  uint64_t version() const { return storage("version").version; }
  void bump_version() { ++storage("bump_version").version; }
  bool shares_storage_with(const Tensor& other) const { return defined() && storage_ == other.storage_; }
  bool sole_owner() const { return storage_.use_count() == 1; }
  std::string describe() const;  // "(2, 16, 768) f32 cpu"

  // --- Its memory; T must be the dtype's type, else DTypeError. The pointer is to the first element ---
  template <class T>
  T* data() const;
  void* raw_data() const;
  template <class T>
  T item() const;  // the only element, converted to T
  template <class T>
  std::vector<T> to_vector() const;  // row-major, converted to T

  // --- Views: same storage ---
  Tensor slice(int64_t dim, int64_t begin, int64_t end, int64_t step = 1) const;
  Tensor select(int64_t dim, int64_t index) const;  // drops the dimension
  Tensor transpose(int64_t a, int64_t b) const;
  Tensor permute(const std::vector<int64_t>& order) const;
  Tensor expand(const Shape& shape) const;  // stride 0 where an extent of 1 stretches
  Tensor unsqueeze(int64_t dim) const;
  Tensor squeeze(int64_t dim) const;
  Tensor view(const Shape& shape) const;     // one extent may be -1; throws ShapeError where a copy would be needed
  Tensor reshape(const Shape& shape) const;  // as view, copying only where it must
  Tensor flatten() const { return reshape({-1}); }

  // --- Copies ---
  Tensor contiguous() const;     // itself where already contiguous
  Tensor clone() const;          // always a new, contiguous storage
  Tensor to(DType dtype) const;  // itself where already of that type
  Tensor to(Device device) const;

  // --- In place; ShapeError for an expanded view, whose elements share places ---
  Tensor& fill_(double value);
  Tensor& copy_(const Tensor& source);  // broadcasts and converts; a source that shares memory is read as it was before
  Tensor& zero_() { return fill_(0); }

 private:
  Tensor(std::shared_ptr<Storage> storage, int64_t offset, Shape shape, Shape strides, DType dtype);
  Tensor with_layout(int64_t offset, Shape shape, Shape strides) const;
  Storage& storage(const char* op) const {
    if (storage_ == nullptr) { throw_undefined(op); }
    return *storage_;
  }
  [[noreturn]] static void throw_undefined(const char* op);

  std::shared_ptr<Storage> storage_;
  int64_t offset_ = 0;  // in elements
  Shape shape_, strides_;
  DType dtype_ = DType::kF32;
};

/// Prints as numpy does: nested brackets, aligned columns, long extents summarised with "...".
std::ostream& operator<<(std::ostream& out, const Tensor& t);

/// Throws DTypeError/ShapeError naming `op` and `argument` unless `t` is as expected.
void check_dtype(const Tensor& t, DType expected, const char* op, const char* argument);
void check_shape(const Tensor& t, const Shape& expected, const char* op, const char* argument);
void check_ndim(const Tensor& t, int64_t expected, const char* op, const char* argument);

/// The elements of a tensor, or null where it is undefined.
template <class T>
T* data_or_null(const Tensor& t) {
  return t.defined() ? t.data<T>() : nullptr;
}

/// An argument as messages call it; an undefined tensor is one that was not given.
struct Argument {
  const char* name;
  const Tensor& tensor;
};
/// Throws DeviceError unless all are on one device: "linear: x is on cpu, weight on cuda:0; move one with to(device)".
void check_one_device(const char* op, std::initializer_list<Argument> arguments);

}  // namespace terrace
