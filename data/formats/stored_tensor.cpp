#include "data/formats/stored_tensor.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <set>

#include "data/files/checksum.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

struct ElementFacts {
  int64_t size;
  DType dtype;
};

const ElementFacts& facts(ElementType type) {
  static constexpr ElementFacts kFacts[] = {{8, DType::kF64}, {4, DType::kF32}, {2, DType::kF16}, {2, DType::kBF16},
                                            {8, DType::kI64}, {4, DType::kI32}, {2, DType::kI32}, {1, DType::kI32},
                                            {8, DType::kI64}, {4, DType::kI64}, {2, DType::kI32}, {1, DType::kU8},
                                            {1, DType::kBool}};
  return kFacts[static_cast<size_t>(type)];
}

/// Elements of a tensor that is larger than its bytes because it repeats them (stride 0). The limit bounds the memory
/// that a small hostile file can ask for.
constexpr int64_t kMaxRepeated = 1 << 24;

bool row_major(const Shape& shape, const Shape& strides) {
  int64_t step = 1;
  for (int64_t i = shape.size() - 1; i >= 0; --i) {
    if (shape[i] != 1 && strides[i] != step) { return false; }
    step *= shape[i];
  }
  return true;
}

/// Copies the elements of a strided tensor at `first` into row-major order.
void gather(const std::byte* first, const Shape& shape, const Shape& strides, int64_t element, std::byte* out) {
  const int64_t ndim = shape.size(), count = shape.numel();
  std::vector<int64_t> at(static_cast<size_t>(ndim), 0);
  int64_t position = 0;
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(out + i * element, first + position * element, static_cast<size_t>(element));
    for (int64_t d = ndim - 1; d >= 0; --d) {
      position += strides[d];
      if (++at[static_cast<size_t>(d)] < shape[d]) { break; }
      position -= strides[d] * shape[d];
      at[static_cast<size_t>(d)] = 0;
    }
  }
}

template <class From, class To>
void widen(const std::byte* from, To* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    From value;
    std::memcpy(&value, from + i * static_cast<int64_t>(sizeof value), sizeof value);
    to[i] = static_cast<To>(value);
  }
}

void widen_unsigned(const std::byte* from, int64_t* to, int64_t count, const std::string& name) {
  for (int64_t i = 0; i < count; ++i) {
    uint64_t value;
    std::memcpy(&value, from + i * 8, sizeof value);
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      throw IoError(cat("tensor \"", name, "\": ", value, " does not fit i64"));
    }
    to[i] = static_cast<int64_t>(value);
  }
}

/// Row-major elements as stored become those of `out`. `from` may be the memory of `out` where the sizes agree.
void convert_elements(const std::byte* from, ElementType type, Tensor& out, const std::string& name) {
  const int64_t count = out.numel();
  switch (type) {
    case ElementType::kI8:
      return widen<int8_t>(from, out.data<int32_t>(), count);
    case ElementType::kI16:
      return widen<int16_t>(from, out.data<int32_t>(), count);
    case ElementType::kU16:
      return widen<uint16_t>(from, out.data<int32_t>(), count);
    case ElementType::kU32:
      return widen<uint32_t>(from, out.data<int64_t>(), count);
    case ElementType::kU64:
      return widen_unsigned(from, out.data<int64_t>(), count, name);
    case ElementType::kBool: {  // a byte other than 0 and 1 is no bool
      auto* to = static_cast<std::byte*>(out.raw_data());
      for (int64_t i = 0; i < count; ++i) { to[i] = from[i] == std::byte{0} ? std::byte{0} : std::byte{1}; }
      return;
    }
    default:
      if (from != out.raw_data()) { std::memcpy(out.raw_data(), from, static_cast<size_t>(count * facts(type).size)); }
  }
}

bool stored_as_read(ElementType type) { return facts(type).size == size_of(facts(type).dtype); }

/// The distance in elements from the first element to the last one, plus one.
int64_t extent_of(const Shape& shape, const Shape& strides) {
  int64_t last = 0;
  for (int64_t d = 0; d < shape.size(); ++d) { last += (shape[d] - 1) * strides[d]; }
  return last + 1;
}

}  // namespace

int64_t size_of(ElementType type) { return facts(type).size; }
DType dtype_of(ElementType type) { return facts(type).dtype; }

ElementType element_type_of(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return ElementType::kF64;
    case DType::kF32:
      return ElementType::kF32;
    case DType::kF16:
      return ElementType::kF16;
    case DType::kBF16:
      return ElementType::kBF16;
    case DType::kI64:
      return ElementType::kI64;
    case DType::kI32:
      return ElementType::kI32;
    case DType::kU8:
      return ElementType::kU8;
    case DType::kBool:
      return ElementType::kBool;
  }
  throw DTypeError("element_type_of: corrupt dtype");
}

// --- Bytes ----------------------------------------------------------------------------------------------------------

ByteRange::ByteRange(std::shared_ptr<const ZipReader> zip, int64_t entry)
    : file_(zip->file()), zip_(std::move(zip)), entry_(entry) {
  const ZipEntry& e = zip_->entries()[static_cast<size_t>(entry)];
  compressed_ = e.deflated;
  begin_ = e.deflated ? 0 : e.offset;
  size_ = e.size;
}

void ByteRange::check(int64_t offset, int64_t count) const {
  if (!zip_) { return; }
  const bool finds_itself = compressed_ && begin_ + offset + count == zip_->entries()[static_cast<size_t>(entry_)].size;
  if (!finds_itself) { zip_->check(entry_); }
}

void ByteRange::read(int64_t offset, std::byte* out, int64_t count) const {
  if (compressed_) { return zip_->read(entry_, begin_ + offset, out, count); }
  if (count > 0) { std::memcpy(out, file_->data() + begin_ + offset, static_cast<size_t>(count)); }
}

void ByteRange::release(int64_t offset, int64_t count) const {
  if (!compressed_) { file_->release(begin_ + offset, begin_ + offset + count); }
}

ByteRange ByteRange::part(int64_t offset, int64_t size) const {
  ByteRange part = *this;
  part.begin_ += offset;
  part.size_ = size;
  return part;
}

// --- Layouts --------------------------------------------------------------------------------------------------------

int64_t checked_numel(const Shape& shape, const std::string& where) {
  int64_t positive = 1;  // without the extents of 0, which would hide that the others overflow
  bool empty = false;
  for (const int64_t extent : shape) {
    if (extent < 0) { throw IoError(cat(where, ": the shape ", shape, " has a negative extent")); }
    if (extent == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(positive, extent, &positive) || positive > (int64_t{1} << 46)) {
      throw IoError(cat(where, ": a tensor of shape ", shape, " is too large"));
    }
  }
  return empty ? 0 : positive;
}

void check_layout(const StoredTensor& t, const std::string& where) {
  const int64_t count = checked_numel(t.shape, where);
  if (t.shape.size() != t.strides.size()) {
    throw IoError(cat(where, ": the shape ", t.shape, " and the strides ", t.strides, " differ in length"));
  }
  const int64_t held = t.bytes.size() / size_of(t.type);
  __int128 last = t.offset;
  for (int64_t d = 0; d < t.shape.size(); ++d) {
    if (t.strides[d] < 0) { throw IoError(cat(where, ": negative strides ", t.strides)); }
    last += static_cast<__int128>(std::max<int64_t>(t.shape[d] - 1, 0)) * t.strides[d];
  }
  if (t.offset < 0 || t.offset > held || (count > 0 && last >= held)) {
    throw IoError(cat(where, ": shape ", t.shape, " with strides ", t.strides, " from element ", t.offset,
                      " reaches beyond its storage of ", held, " elements"));
  }
  if (count > held && count > kMaxRepeated) {
    throw IoError(cat(where, ": shape ", t.shape, " repeats a storage of ", held, " elements ", count, " times over"));
  }
}

// --- Reader ---------------------------------------------------------------------------------------------------------

StoredTensors::StoredTensors(const std::string& path, std::vector<StoredTensor> tensors,
                             std::map<std::string, std::string> metadata)
    : path_(path), tensors_(std::move(tensors)), compared_(tensors_.size()), metadata_(std::move(metadata)) {
  std::set<std::string> names;
  for (const StoredTensor& tensor : tensors_) {
    if (!names.insert(tensor.name).second) {
      throw IoError(cat("cannot read ", path, ": two tensors are named \"", tensor.name, "\""));
    }
    entries_.push_back(tensor.entry());
  }
}

/// Copies the bytes on the way, unless `copy_to` is null.
void StoredTensors::compare_checksum(size_t index, std::byte* copy_to) const {
  const StoredTensor& t = tensors_[index];
  if (checksum_of_pieces(t.bytes.mapped(), static_cast<size_t>(t.bytes.size()), copy_to) != *t.checksum) {
    throw IoError(cat("cannot read ", path_, ": tensor \"", t.name, "\" is damaged: its ", t.bytes.size(),
                      " bytes are not what was written"));
  }
  compared_[index] = true;
}

void StoredTensors::read(size_t index, int64_t begin, int64_t end, Tensor& out) const {
  const StoredTensor& t = tensors_[index];
  if (out.numel() == 0) { return t.bytes.check(0, 0); }
  Shape shape = t.shape;
  int64_t first = t.offset;
  if (!shape.empty()) {
    shape[0] = end - begin;
    first += begin * t.strides[0];
  }
  const int64_t element = size_of(t.type), extent = extent_of(shape, t.strides) * element, start = first * element;
  const bool in_order = row_major(shape, t.strides);
  t.bytes.check(start, extent);
  if (t.checksum && !compared_[index]) {
    const bool copies = in_order && stored_as_read(t.type) && extent == t.bytes.size();
    compare_checksum(index, copies ? static_cast<std::byte*>(out.raw_data()) : nullptr);
    if (copies) {
      t.bytes.release(start, extent);
      return convert_elements(static_cast<std::byte*>(out.raw_data()), t.type, out, t.name);
    }
  }
  if (in_order && !t.bytes.mapped() && stored_as_read(t.type)) {  // inflated in place
    t.bytes.read(start, static_cast<std::byte*>(out.raw_data()), extent);
    return convert_elements(static_cast<std::byte*>(out.raw_data()), t.type, out, t.name);
  }
  std::vector<std::byte> inflated, gathered;
  const std::byte* source = t.bytes.mapped();
  if (source != nullptr) {
    source += start;
  } else {
    inflated.resize(static_cast<size_t>(extent));
    t.bytes.read(start, inflated.data(), extent);
    source = inflated.data();
  }
  if (!in_order) {
    gathered.resize(static_cast<size_t>(out.numel() * element));
    gather(source, shape, t.strides, element, gathered.data());
    source = gathered.data();
  }
  convert_elements(source, t.type, out, t.name);
  t.bytes.release(start, extent);
}

}  // namespace terrace
