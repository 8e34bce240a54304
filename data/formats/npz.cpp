#include "data/formats/npz.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <limits>
#include <string_view>

#include "data/formats/stored_tensor.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr int64_t kMaxHeader = 1 << 20;
constexpr int64_t kAlignment = 64;  // of the data within an array's file, as NumPy aligns it

struct NpyType {
  const char* descr;  // without the mark of the byte order
  ElementType type;
};
constexpr NpyType kTypes[] = {{"f8", ElementType::kF64}, {"f4", ElementType::kF32}, {"f2", ElementType::kF16},
                              {"i8", ElementType::kI64}, {"i4", ElementType::kI32}, {"i2", ElementType::kI16},
                              {"i1", ElementType::kI8},  {"u8", ElementType::kU64}, {"u4", ElementType::kU32},
                              {"u2", ElementType::kU16}, {"u1", ElementType::kU8},  {"b1", ElementType::kBool}};

/// What the dictionary at the head of an array says.
struct NpyHeader {
  std::string descr;
  bool fortran_order = false;
  std::vector<int64_t> shape;
};

/// Reads the literal of a Python dictionary with the three known keys.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  NpyHeader parse() {
    NpyHeader header;
    int seen = 0;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr") {
        header.descr = quoted();
        seen |= 1;
      } else if (key == "fortran_order") {
        header.fortran_order = truth();
        seen |= 2;
      } else if (key == "shape") {
        header.shape = tuple();
        seen |= 4;
      } else {
        fail(cat("unknown key '", key, "'"));
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    if (seen != 7) { fail("descr, fortran_order or shape is missing"); }
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const { throw IoError(cat(where_, ": damaged header: ", why)); }
  void skip_space() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) { ++at_; }
  }
  bool accept(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) { return false; }
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) { fail(cat("expected ", c, " at character ", at_)); }
  }
  std::string quoted() {
    skip_space();
    if (at_ < text_.size() && text_[at_] == '[') { throw IoError(cat(where_, ": holds records, not numbers")); }
    if (at_ == text_.size() || (text_[at_] != '\'' && text_[at_] != '"')) {
      fail(cat("expected text at character ", at_));
    }
    const size_t end = text_.find(text_[at_], at_ + 1);
    if (end == std::string_view::npos) { fail("text without an end"); }
    std::string value(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return value;
  }
  bool truth() {
    skip_space();
    for (const std::string_view word : {"True", "False"}) {
      if (text_.substr(at_, word.size()) != word) { continue; }
      at_ += word.size();
      return word == "True";
    }
    fail(cat("expected True or False at character ", at_));
  }
  std::vector<int64_t> tuple() {
    std::vector<int64_t> values;
    expect('(');
    while (!accept(')')) {
      skip_space();
      int64_t value = 0;
      const size_t first = at_;
      for (; at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])) != 0; ++at_) {
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, text_[at_] - '0', &value)) {
          fail("an extent is too large");
        }
      }
      if (at_ == first) { fail(cat("expected a number at character ", at_)); }
      values.push_back(value);
      accept('L');  // as Python 2 wrote long integers
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return values;
  }

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
};

ElementType element_type(const std::string& descr, const std::string& where) {
  if (descr.size() >= 2 && descr[1] == 'O') { throw IoError(cat(where, ": holds Python objects, not numbers")); }
  const bool order = !descr.empty() && (descr[0] == '<' || descr[0] == '|' || descr[0] == '=');
  const auto found = std::find_if(std::begin(kTypes), std::end(kTypes),
                                  [&](const NpyType& t) { return order && descr.substr(1) == t.descr; });
  if (found == std::end(kTypes)) { throw IoError(cat(where, ": elements of type '", descr, "' are not supported")); }
  return found->type;
}

// A file of one array (numpy.lib.format), little-endian:
//
//    0  "\x93NUMPY"
//    6  u8 major version, u8 minor version
//    8  length of the header: u16 in version 1, u32 in versions 2 and 3
//   10  (in versions 2 and 3: 12) the header, a Python literal padded by spaces and ended by a newline:
//       {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
//       then the elements

/// Describes the array whose file is `bytes`.
StoredTensor parse_npy(const std::string& name, const ByteRange& bytes, const std::string& where) {
  const auto fail = [&](const std::string& why) { return IoError(cat(where, ": ", why)); };
  char fixed[12] = {};
  const int64_t available = std::min<int64_t>(bytes.size(), 12);
  bytes.read(0, reinterpret_cast<std::byte*>(fixed), available);
  if (available < 10 || std::string_view(fixed, 6) != kMagic) { throw fail("not an array of NumPy"); }
  const auto byte = [&](int i) { return static_cast<int64_t>(static_cast<unsigned char>(fixed[i])); };
  const int64_t version = byte(6);
  if (version < 1 || version > 3) { throw fail(cat("version ", version, " of the format is not known")); }
  const int64_t header_begin = version == 1 ? 10 : 12;
  int64_t length = byte(8) + (byte(9) << 8);
  if (version > 1) { length += (byte(10) << 16) + (byte(11) << 24); }
  if (length > kMaxHeader) { throw fail(cat("a header of ", length, " bytes")); }
  if (header_begin + length > bytes.size()) { throw fail("truncated header"); }
  std::string text(static_cast<size_t>(length), '\0');
  bytes.read(header_begin, reinterpret_cast<std::byte*>(text.data()), length);

  const NpyHeader header = HeaderParser(text, where).parse();
  StoredTensor tensor;
  tensor.name = name;
  tensor.type = element_type(header.descr, where);
  tensor.shape = Shape(header.shape);
  const int64_t count = checked_numel(tensor.shape, where), begin = header_begin + length;
  if (count * size_of(tensor.type) > bytes.size() - begin) {
    throw fail(cat("truncated: shape ", tensor.shape, " of '", header.descr, "' needs ", count * size_of(tensor.type),
                   " bytes, there are ", bytes.size() - begin));
  }
  tensor.bytes = bytes.part(begin, bytes.size() - begin);
  tensor.strides = tensor.shape.contiguous_strides();
  if (header.fortran_order) {
    int64_t step = 1;
    for (int64_t d = 0; d < tensor.shape.size(); ++d) {
      tensor.strides[d] = step;
      step *= tensor.shape[d];
    }
  }
  return tensor;
}

/// The head of an array's file, padded so that the data is aligned.
std::string npy_head(DType dtype, const Shape& shape) {
  if (dtype == DType::kBF16) { throw DTypeError("npz: NumPy has no bf16; convert to f32 or f16 first"); }
  const ElementType type = element_type_of(dtype);
  const auto found =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const NpyType& t) { return t.type == type; });
  std::string extents;
  for (const int64_t extent : shape) { extents += cat(extents.empty() ? "" : ", ", extent); }
  if (shape.size() == 1) { extents += ","; }
  std::string text = cat("{'descr': '", size_of(type) == 1 ? "|" : "<", found->descr,
                         "', 'fortran_order': False, 'shape': (", extents, "), }");
  const int64_t unpadded = 10 + static_cast<int64_t>(text.size()) + 1;
  text.append(static_cast<size_t>((kAlignment - unpadded % kAlignment) % kAlignment), ' ');
  text += '\n';
  std::string head(kMagic);
  head += std::string("\x01\x00", 2);
  head += static_cast<char>(text.size() & 0xff);
  head += static_cast<char>(text.size() >> 8);
  return head + text;
}

class NpzTensorWriter : public TensorWriter {
 public:
  NpzTensorWriter(const std::string& path, std::vector<TensorEntry> entries)
      : TensorWriter(path, std::move(entries)), npz_(path) {}

 private:
  void write_entry(const TensorEntry& entry, const Tensor& value) override {
    npz_.begin(entry.name, entry.dtype, entry.shape);
    npz_.append(value);
  }
  void finish() override { npz_.commit(); }

  NpzWriter npz_;
};

}  // namespace

bool is_npy(const MappedFile& file) {
  return file.size() >= 6 && std::memcmp(file.data(), kMagic.data(), kMagic.size()) == 0;
}

std::shared_ptr<const TensorReader> open_npy(std::shared_ptr<const MappedFile> file) {
  const std::string path = file->path();
  const int64_t size = file->size();
  std::vector<StoredTensor> tensors;
  tensors.push_back(parse_npy("arr_0", ByteRange(std::move(file), 0, size), cat("cannot read ", path, ": npy")));
  return std::make_shared<const StoredTensors>(path, std::move(tensors));
}

std::shared_ptr<const TensorReader> open_npz(std::shared_ptr<const ZipReader> zip) {
  const std::string& path = zip->file()->path();
  std::vector<StoredTensor> tensors;
  for (size_t i = 0; i < zip->entries().size(); ++i) {
    const std::string& name = zip->entries()[i].name;
    if (name.ends_with("/")) {
      continue;  // a folder
    }
    const std::string where = cat("cannot read ", path, ": npz: \"", name, "\"");
    if (!name.ends_with(".npy")) { throw IoError(cat(where, ": an entry that is not an array (.npy)")); }
    tensors.push_back(parse_npy(name.substr(0, name.size() - 4), ByteRange(zip, static_cast<int64_t>(i)), where));
  }
  return std::make_shared<const StoredTensors>(path, std::move(tensors));
}

void NpzWriter::begin(const std::string& name, DType dtype, const Shape& shape) {
  const std::string head = npy_head(dtype, shape);
  name_ = name;
  dtype_ = dtype;
  shape_ = shape;
  rows_ = 0;
  zip_.begin(name + ".npy", static_cast<int64_t>(head.size()) + shape.numel() * size_of(dtype));
  zip_.write(head.data(), static_cast<int64_t>(head.size()));
}

void NpzWriter::append(const Tensor& rows) {
  check_dtype(rows, dtype_, "npz", name_.c_str());
  Shape expected = shape_;
  int64_t total = 0;
  if (!expected.empty() && rows.ndim() > 0) {
    expected[0] = rows.dim(0);
    total = rows_ + rows.dim(0);
  }
  check_shape(rows, expected, "npz", name_.c_str());
  if (!shape_.empty() && total > shape_[0]) {
    throw ShapeError(cat("npz: ", name_, " is ", shape_, "; ", total, " rows have come"));
  }
  rows_ = total;
  const Tensor source = rows.to(kCpu).contiguous();
  zip_.write(source.raw_data(), source.numel() * size_of(dtype_));
}

std::unique_ptr<TensorWriter> create_npz(const std::string& path, std::vector<TensorEntry> entries) {
  return std::make_unique<NpzTensorWriter>(path, std::move(entries));
}

}  // namespace terrace
