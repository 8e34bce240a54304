#include "tensor/tensor.h"

#include <algorithm>
#include <cstring>

#include "tensor/base/loop_plan.h"
#include "tensor/device/allocator.h"
#include "tensor/device/device_memory.h"
#include "tensor/kernels/copy.h"
#include "tensor/overlap.h"

namespace terrace {

Storage::Storage(int64_t bytes, Device device) : bytes_(bytes), device_(device) {
  data_ = static_cast<std::byte*>(allocate(static_cast<size_t>(bytes), &tag_, device));
}

Storage::~Storage() { deallocate(data_, static_cast<size_t>(bytes_), tag_, device_); }

Tensor::Tensor(std::shared_ptr<Storage> storage, int64_t offset, Shape shape, Shape strides, DType dtype)
    : storage_(std::move(storage)),
      offset_(offset),
      shape_(std::move(shape)),
      strides_(std::move(strides)),
      dtype_(dtype) {}

void Tensor::throw_undefined(const char* op) { throw Error(cat(op, ": the tensor is undefined")); }

Tensor Tensor::with_layout(int64_t offset, Shape shape, Shape strides) const {
  if (!defined()) { throw_undefined("view"); }
  return Tensor(storage_, offset, std::move(shape), std::move(strides), dtype_);
}

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  int64_t count = 1;
  for (int64_t d : shape) {
    if (d < 0) { throw ShapeError(cat("empty: extents must not be negative, got ", shape)); }
    if (__builtin_mul_overflow(count, d, &count) || count > (int64_t{1} << 46)) {
      throw ShapeError(cat("empty: a tensor of shape ", shape, " is too large"));
    }
  }
  return Tensor(std::make_shared<Storage>(count * size_of(dtype), device), 0, shape, shape.contiguous_strides(), dtype);
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device);
  device_memory(device).zero(t.raw_data(), static_cast<size_t>(t.numel() * size_of(dtype)));
  return t;
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device);
  t.fill_(value);
  return t;
}

Tensor Tensor::scalar(double value, DType dtype) { return full({}, value, dtype); }

Tensor Tensor::arange(int64_t count, DType dtype) {
  Tensor t = empty({count}, dtype);
  visit_any(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* out = t.data<T>();
    for (int64_t i = 0; i < count; ++i) { out[i] = static_cast<T>(i); }
  });
  return t;
}

template <class T>
Tensor Tensor::from(std::span<const T> values, const Shape& shape) {
  if (static_cast<int64_t>(values.size()) != shape.numel()) {
    throw ShapeError(cat("from: shape ", shape, " needs ", shape.numel(), " values, got ", values.size()));
  }
  Tensor t = empty(shape, kDTypeOf<T>);
  if (!values.empty()) { std::memcpy(t.raw_data(), values.data(), values.size_bytes()); }
  return t;
}

bool Tensor::is_contiguous() const {
  int64_t step = 1;
  for (int64_t i = ndim() - 1; i >= 0; --i) {
    if (shape_[i] == 0) { return true; }
    if (shape_[i] != 1 && strides_[i] != step) { return false; }
    step *= shape_[i];
  }
  return true;
}

std::string Tensor::describe() const {
  return defined() ? cat(shape_, " ", dtype_, " ", device()) : "undefined tensor";
}

void* Tensor::raw_data() const { return storage("data").data() + offset_ * size_of(dtype_); }

template <class T>
T* Tensor::data() const {
  if (kDTypeOf<T> != dtype_ && defined()) {
    throw DTypeError(cat("data: asked for ", kDTypeOf<T>, ", the tensor is ", describe()));
  }
  return static_cast<T*>(raw_data());
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  const Tensor same = to(kDTypeOf<T>).contiguous().to(kCpu);
  const T* p = same.data<T>();
  return std::vector<T>(p, p + same.numel());
}

template <class T>
T Tensor::item() const {
  if (numel() != 1) { throw ShapeError(cat("item: needs exactly one element, got ", describe())); }
  return *to(kDTypeOf<T>).to(kCpu).template data<T>();
}

// --- Views ---

Tensor Tensor::slice(int64_t dim, int64_t begin, int64_t end, int64_t step) const {
  dim = normalize_dim(dim, ndim(), "slice");
  if (begin < 0 || begin > end || end > shape_[dim] || step < 1) {
    throw IndexError(cat("slice: [", begin, ", ", end, ") with step ", step, " does not lie in dimension ", dim, " of ",
                         describe()));
  }
  Shape shape = shape_, strides = strides_;
  shape[dim] = (end - begin + step - 1) / step;
  strides[dim] *= step;
  return with_layout(offset_ + begin * strides_[dim], shape, strides);
}

Tensor Tensor::select(int64_t dim, int64_t index) const {
  dim = normalize_dim(dim, ndim(), "select");
  if (index < 0 || index >= shape_[dim]) {
    throw IndexError(cat("select: index ", index, " is beyond dimension ", dim, " of ", describe()));
  }
  Shape shape = shape_, strides = strides_;
  shape.erase(dim);
  strides.erase(dim);
  return with_layout(offset_ + index * strides_[dim], shape, strides);
}

Tensor Tensor::transpose(int64_t a, int64_t b) const {
  a = normalize_dim(a, ndim(), "transpose");
  b = normalize_dim(b, ndim(), "transpose");
  Shape shape = shape_, strides = strides_;
  std::swap(shape[a], shape[b]);
  std::swap(strides[a], strides[b]);
  return with_layout(offset_, shape, strides);
}

Tensor Tensor::permute(const std::vector<int64_t>& order) const {
  std::vector<bool> seen(static_cast<size_t>(ndim()), false);
  Shape shape, strides;
  bool valid = static_cast<int64_t>(order.size()) == ndim();
  for (int64_t d : order) {
    if (!valid) { break; }
    d = normalize_dim(d, ndim(), "permute");
    valid = !seen[static_cast<size_t>(d)];
    seen[static_cast<size_t>(d)] = true;
    shape.push_back(shape_[d]);
    strides.push_back(strides_[d]);
  }
  if (!valid) {
    throw ShapeError(cat("permute: the order ", Shape(order), " must name each dimension of ", describe(), " once"));
  }
  return with_layout(offset_, shape, strides);
}

Tensor Tensor::expand(const Shape& shape) const {
  const bool negative = std::any_of(shape.begin(), shape.end(), [](int64_t extent) { return extent < 0; });
  if (negative || broadcast_shapes(shape_, shape, "expand") != shape) {
    throw ShapeError(cat("expand: ", describe(), " does not stretch to ", shape));
  }
  return with_layout(offset_, shape, broadcast_strides(shape_, strides_, shape));
}

Tensor Tensor::unsqueeze(int64_t dim) const {
  dim = normalize_dim(dim, ndim() + 1, "unsqueeze");
  Shape shape = shape_, strides = strides_;
  shape.insert(dim, 1);
  strides.insert(dim, dim < ndim() ? shape_[dim] * strides_[dim] : 1);
  return with_layout(offset_, shape, strides);
}

Tensor Tensor::squeeze(int64_t dim) const {
  dim = normalize_dim(dim, ndim(), "squeeze");
  if (shape_[dim] != 1) { throw ShapeError(cat("squeeze: dimension ", dim, " of ", describe(), " is not 1")); }
  return select(dim, 0);
}

namespace {

/// Replaces one -1 by the extent that fits. Throws ShapeError where none does, or where a 0 beside it leaves it open.
Shape resolve_shape(const Shape& wanted, int64_t numel, const Tensor& t, const char* op) {
  Shape shape = wanted;
  int64_t known = 1, open = -1;
  bool valid = true;
  for (int64_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1 && open < 0) {
      open = i;
    } else {
      valid = valid && shape[i] >= 0 && !__builtin_mul_overflow(known, shape[i], &known);
    }
  }
  if (valid && open >= 0) {
    valid = known > 0 && numel % known == 0;
    if (valid) { shape[open] = numel / known; }
  } else {
    valid = valid && known == numel;
  }
  if (!valid) {
    throw ShapeError(cat(op, ": ", t.describe(), " has ", numel, " elements and does not fit ", wanted,
                         "; extents are 0 or more, and one may be -1 where the others are positive"));
  }
  return shape;
}

/// Strides for `shape` over the same memory, or false where a dimension of it would have to jump.
bool strides_for_view(const Shape& old_shape, const Shape& old_strides, const Shape& shape, Shape& strides) {
  strides = shape.contiguous_strides();
  if (shape.numel() == 0) { return true; }
  const LoopPlan<1> plan = plan_loops<1>(old_shape, {old_strides});
  int group = plan.ndim - 1;
  int64_t left = plan.extents[group], step = plan.strides[0][group];
  for (int64_t i = shape.size() - 1; i >= 0; --i) {
    if (shape[i] == 1) { continue; }
    if (left == 1 && group > 0) {
      --group;
      left = plan.extents[group];
      step = plan.strides[0][group];
    }
    if (left % shape[i] != 0) { return false; }
    strides[i] = step;
    step *= shape[i];
    left /= shape[i];
  }
  return true;
}

}  // namespace

Tensor Tensor::view(const Shape& wanted) const {
  const Shape shape = resolve_shape(wanted, numel(), *this, "view");
  Shape strides;
  if (!strides_for_view(shape_, strides_, shape, strides)) {
    throw ShapeError(cat("view: ", describe(), " with strides ", strides_, " cannot be seen as ", shape,
                         " without a copy; use reshape"));
  }
  return with_layout(offset_, shape, strides);
}

Tensor Tensor::reshape(const Shape& wanted) const {
  const Shape shape = resolve_shape(wanted, numel(), *this, "reshape");
  Shape strides;
  if (strides_for_view(shape_, strides_, shape, strides)) { return with_layout(offset_, shape, strides); }
  return clone().with_layout(0, shape, shape.contiguous_strides());
}

// --- Copies ---

Tensor Tensor::contiguous() const { return is_contiguous() ? *this : clone(); }

Tensor Tensor::clone() const {
  if (!defined()) { throw_undefined("clone"); }
  Tensor copy = empty(shape_, dtype_, device());
  copy.copy_(*this);
  copy.storage_->version = 0;
  return copy;
}

Tensor Tensor::to(DType dtype) const {
  if (!defined()) { throw_undefined("to"); }
  if (dtype == dtype_) { return *this; }
  const Tensor source = contiguous();
  Tensor out = empty(shape_, dtype, device());
  visit_any(dtype_, [&](auto from_tag) {
    visit_any(dtype, [&](auto to_tag) {
      using From = typename decltype(from_tag)::type;
      using To = typename decltype(to_tag)::type;
      convert<From, To>(device(), source.data<From>(), out.data<To>(), numel());
    });
  });
  return out;
}

Tensor Tensor::to(Device device) const {
  if (device == this->device()) { return *this; }
  const Tensor source = contiguous();
  if (!source.device().is_cpu() && !device.is_cpu()) { return source.to(kCpu).to(device); }
  const Tensor copy = empty(shape_, dtype_, device);
  const auto bytes = static_cast<size_t>(numel() * size_of(dtype_));
  if (device.is_cpu()) {
    device_memory(source.device()).to_host(copy.raw_data(), source.raw_data(), bytes);
  } else {
    device_memory(device).to_device(copy.raw_data(), source.raw_data(), bytes);
  }
  return copy;
}

// --- In place ---

Tensor& Tensor::fill_(double value) {
  if (!defined()) { throw_undefined("fill_"); }
  check_writable(*this, "fill_");
  visit_any(dtype_, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T element = static_cast<T>(value);
    uint64_t bits = 0;
    std::memcpy(&bits, &element, sizeof element);
    Tensor target = is_contiguous() ? *this : empty({}, dtype_, device());
    fill_elements(device(), target.raw_data(), bits, target.numel(), size_of(dtype_));
    if (!is_contiguous()) { copy_(target); }
  });
  bump_version();
  return *this;
}

Tensor& Tensor::copy_(const Tensor& source) {
  if (!defined() || !source.defined()) { throw_undefined("copy_"); }
  if (broadcast_shapes(source.shape(), shape_, "copy_") != shape_) {
    throw ShapeError(cat("copy_: ", source.describe(), " does not broadcast to ", describe()));
  }
  check_writable(*this, "copy_");
  const Tensor same = source_for_write(*this, source.to(dtype_).to(device()).expand(shape_));
  const auto plan = plan_loops<2>(shape_, {strides_, same.strides()});
  const int64_t bytes = size_of(dtype_);
  if (numel() > 0) { strided_copy(device(), raw_data(), same.raw_data(), plan, bytes); }
  bump_version();
  return *this;
}

void check_dtype(const Tensor& t, DType expected, const char* op, const char* argument) {
  if (t.dtype() != expected) {
    throw DTypeError(cat(op, ": ", argument, " must be ", expected, ", got ", t.describe()));
  }
}

void check_shape(const Tensor& t, const Shape& expected, const char* op, const char* argument) {
  if (t.shape() != expected) {
    throw ShapeError(cat(op, ": ", argument, " must be ", expected, ", got ", t.describe()));
  }
}

void check_ndim(const Tensor& t, int64_t expected, const char* op, const char* argument) {
  if (t.ndim() != expected) {
    throw ShapeError(cat(op, ": ", argument, " must have ", expected, " dimensions, got ", t.describe()));
  }
}

void check_one_device(const char* op, std::initializer_list<Argument> arguments) {
  const Argument* first = nullptr;
  for (const Argument& each : arguments) {
    if (!each.tensor.defined()) { continue; }
    if (first == nullptr) { first = &each; }
    if (each.tensor.device() == first->tensor.device()) { continue; }
    throw DeviceError(cat(op, ": ", first->name, " is on ", first->tensor.device(), ", ", each.name, " on ",
                          each.tensor.device(), "; move one with to(device)"));
  }
}

#define TERRACE_INSTANTIATE(T)                                    \
  template Tensor Tensor::from(std::span<const T>, const Shape&); \
  template T* Tensor::data<T>() const;                            \
  template std::vector<T> Tensor::to_vector<T>() const;           \
  template T Tensor::item<T>() const;
TERRACE_INSTANTIATE(float)
TERRACE_INSTANTIATE(BFloat16)
TERRACE_INSTANTIATE(double)
TERRACE_INSTANTIATE(Float16)
TERRACE_INSTANTIATE(int64_t)
TERRACE_INSTANTIATE(int32_t)
TERRACE_INSTANTIATE(uint8_t)
#undef TERRACE_INSTANTIATE
template bool* Tensor::data<bool>() const;
template bool Tensor::item<bool>() const;
template std::vector<bool> Tensor::to_vector<bool>() const;

}  // namespace terrace
