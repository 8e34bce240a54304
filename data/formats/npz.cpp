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
constexpr int64_t kMaxText = 64 << 20;  // bytes
constexpr int64_t kAlignment = 64;      // of the data within an array's file, as NumPy aligns it

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

struct NpyArray {
  NpyHeader header;
  ByteRange elements;  // to the end of the file
};

/// Reads the head of the array whose file is `bytes`.
NpyArray parse_head(const ByteRange& bytes, const std::string& where) {
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

  const int64_t begin = header_begin + length;
  return {HeaderParser(text, where).parse(), bytes.part(begin, bytes.size() - begin)};
}

StoredTensor tensor_of(const std::string& name, const NpyArray& array, const std::string& where) {
  const NpyHeader& header = array.header;
  StoredTensor tensor;
  tensor.name = name;
  tensor.type = element_type(header.descr, where);
  tensor.shape = Shape(header.shape);
  const int64_t count = checked_numel(tensor.shape, where);
  if (const int64_t needed = count * size_of(tensor.type); needed != array.elements.size()) {
    throw IoError(cat(where, needed > array.elements.size() ? ": truncated" : ": damaged", ": shape ", tensor.shape,
                      " of '", header.descr, "' needs ", needed, " bytes, there are ", array.elements.size()));
  }
  tensor.bytes = array.elements;
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

// --- Texts: one element of type <UN, N characters of UTF-32, zeros at the end ---

bool is_text(const NpyHeader& header) { return header.shape.empty() && header.descr.starts_with("<U"); }

/// Characters beyond Unicode, and those that only halves of UTF-16 are.
bool is_character(uint32_t c) { return c < 0xd800 || (c > 0xdfff && c < 0x110000); }

void append_utf8(std::string& text, uint32_t c) {
  if (c < 0x80) {
    text += static_cast<char>(c);
    return;
  }
  const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;  // bytes of 6 bits each
  constexpr uint32_t kLead[] = {0, 0xc0, 0xe0, 0xf0};
  text += static_cast<char>(kLead[more] | c >> (6 * more));
  for (int i = more - 1; i >= 0; --i) { text += static_cast<char>(0x80 | (c >> (6 * i) & 0x3f)); }
}

std::string text_of(const NpyArray& array, const std::string& where) {
  const int64_t size = array.elements.size();
  if (size > kMaxText) { throw IoError(cat(where, ": a text of ", size, " bytes; ", kMaxText, " are allowed")); }
  if (array.header.descr != cat("<U", size / 4) || size % 4 != 0) {
    throw IoError(cat(where, ": a text of type '", array.header.descr, "' in ", size, " bytes"));
  }
  std::vector<uint32_t> characters(static_cast<size_t>(size / 4));
  array.elements.check(0, size);
  array.elements.read(0, reinterpret_cast<std::byte*>(characters.data()), size);
  while (!characters.empty() && characters.back() == 0) { characters.pop_back(); }
  std::string text;
  for (const uint32_t c : characters) {
    if (!is_character(c)) { throw IoError(cat(where, ": a text with the number ", c, ", which is no character")); }
    append_utf8(text, c);
  }
  return text;
}

/// The characters of a text in UTF-8.
std::vector<uint32_t> characters_of(const std::string& text, const std::string& name) {
  std::vector<uint32_t> characters;
  for (size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const int more = lead < 0x80 ? 0 : lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    uint32_t c = lead & (more == 0 ? 0x7f : 0x3f >> more);
    for (int i = 1; i <= more && at + static_cast<size_t>(i) < text.size(); ++i) {
      c = c << 6 | (static_cast<unsigned char>(text[at + static_cast<size_t>(i)]) & 0x3f);
    }
    std::string again;
    if (is_character(c)) { append_utf8(again, c); }
    if (again.empty() || text.compare(at, again.size(), again) != 0) {
      throw IoError(cat("npz: the text \"", name, "\" is not UTF-8"));
    }
    characters.push_back(c);
    at += again.size();
  }
  return characters;
}

/// The head of an array's file, padded so that the data is aligned.
std::string npy_head(const std::string& descr, const Shape& shape) {
  std::string extents;
  for (const int64_t extent : shape) { extents += cat(extents.empty() ? "" : ", ", extent); }
  if (shape.size() == 1) { extents += ","; }
  std::string text = cat("{'descr': '", descr, "', 'fortran_order': False, 'shape': (", extents, "), }");
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
  NpzTensorWriter(const std::string& path, std::vector<TensorEntry> entries,
                  const std::map<std::string, std::string>& metadata)
      : TensorWriter(path, std::move(entries)), npz_(path) {
    for (const auto& [name, value] : metadata) { npz_.text(name, value); }
  }

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
  const std::string where = cat("cannot read ", path, ": npy");
  std::vector<StoredTensor> tensors;
  tensors.push_back(tensor_of("arr_0", parse_head(ByteRange(std::move(file), 0, size), where), where));
  return std::make_shared<const StoredTensors>(path, std::move(tensors));
}

std::shared_ptr<const TensorReader> open_npz(std::shared_ptr<const ZipReader> zip) {
  const std::string& path = zip->file()->path();
  std::vector<StoredTensor> tensors;
  std::map<std::string, std::string> metadata;
  for (size_t i = 0; i < zip->entries().size(); ++i) {
    const std::string& name = zip->entries()[i].name;
    if (name.ends_with("/")) {
      continue;  // a folder
    }
    const std::string where = cat("cannot read ", path, ": npz: \"", name, "\"");
    if (!name.ends_with(".npy")) { throw IoError(cat(where, ": an entry that is not an array (.npy)")); }
    const NpyArray array = parse_head(ByteRange(zip, static_cast<int64_t>(i)), where);
    const std::string array_name = name.substr(0, name.size() - 4);
    if (is_text(array.header)) {
      metadata[array_name] = text_of(array, where);
    } else {
      tensors.push_back(tensor_of(array_name, array, where));
    }
  }
  return std::make_shared<const StoredTensors>(path, std::move(tensors), std::move(metadata));
}

void NpzWriter::begin(const std::string& name, DType dtype, const Shape& shape) {
  if (dtype == DType::kBF16) {
    throw DTypeError(cat("npz: tensor \"", name, "\" is bf16, which NumPy does not have; convert it to f32 or f16"));
  }
  const ElementType type = element_type_of(dtype);
  const auto known =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const NpyType& t) { return t.type == type; });
  const std::string head = npy_head(cat(size_of(type) == 1 ? "|" : "<", known->descr), shape);
  name_ = name;
  dtype_ = dtype;
  shape_ = shape;
  rows_ = 0;
  zip_.begin(name + ".npy", static_cast<int64_t>(head.size()) + shape.numel() * size_of(dtype));
  zip_.write(head.data(), static_cast<int64_t>(head.size()));
}

void NpzWriter::text(const std::string& name, const std::string& value) {
  std::vector<uint32_t> characters = characters_of(value, name);
  if (characters.empty()) { characters.push_back(0); }  // NumPy has no elements of no bytes
  const std::string head = npy_head(cat("<U", characters.size()), {});
  const auto bytes = static_cast<int64_t>(characters.size() * sizeof(uint32_t));
  zip_.begin(name + ".npy", static_cast<int64_t>(head.size()) + bytes);
  zip_.write(head.data(), static_cast<int64_t>(head.size()));
  zip_.write(characters.data(), bytes);
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

std::unique_ptr<TensorWriter> create_npz(const std::string& path, std::vector<TensorEntry> entries,
                                         const std::map<std::string, std::string>& metadata) {
  return std::make_unique<NpzTensorWriter>(path, std::move(entries), metadata);
}

}  // namespace terrace
