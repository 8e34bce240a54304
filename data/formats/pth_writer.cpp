// The pickle is the shortest that torch.load's restricted reader takes: no memo, every tensor the whole of a storage of
// its own.
#include "data/formats/pth_writer.h"

#include <limits>

#include "data/formats/pickle_program.h"
#include "data/formats/pth_reader.h"
#include "data/formats/stored_tensor.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

constexpr const char* kFolder = "archive/";

const char* storage_name(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return "DoubleStorage";
    case DType::kF32:
      return "FloatStorage";
    case DType::kF16:
      return "HalfStorage";
    case DType::kBF16:
      return "BFloat16Storage";
    case DType::kI64:
      return "LongStorage";
    case DType::kI32:
      return "IntStorage";
    case DType::kU8:
      return "ByteStorage";
    case DType::kBool:
      return "BoolStorage";
  }
  throw DTypeError("pth: corrupt dtype");
}

using Op = PickleOp;

/// A pickle of protocol 2, written opcode by opcode.
class PickleText {
 public:
  PickleText() {
    op(Op::kProto);
    bytes(uint8_t{2});
  }
  void op(Op code) { text_ += static_cast<char>(code); }
  void global(const std::string& module, const std::string& name) {
    op(Op::kGlobal);
    text_ += module + "\n" + name + "\n";
  }
  void unicode(const std::string& value) {
    op(Op::kBinUnicode);
    bytes(static_cast<uint32_t>(value.size()));
    text_ += value;
  }
  void integer(int64_t value) {
    if (value <= std::numeric_limits<int32_t>::max()) {
      op(Op::kBinInt);
      bytes(static_cast<int32_t>(value));
    } else {
      op(Op::kLong1);
      bytes(uint8_t{8});
      bytes(value);
    }
  }
  void tuple(const Shape& values) {
    op(Op::kMark);
    for (const int64_t value : values) { integer(value); }
    op(Op::kTuple);
  }
  void empty_dict() {
    global("collections", "OrderedDict");
    op(Op::kEmptyTuple);
    op(Op::kReduce);
  }
  const std::string& text() const { return text_; }

 private:
  template <class T>
  void bytes(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  std::string text_;
};

std::string pickled(const std::vector<TensorEntry>& entries) {
  PickleText p;
  p.empty_dict();
  p.op(Op::kMark);
  for (size_t i = 0; i < entries.size(); ++i) {
    const TensorEntry& entry = entries[i];
    p.unicode(entry.name);
    p.global("torch._utils", "_rebuild_tensor_v2");
    p.op(Op::kMark);
    p.op(Op::kMark);
    p.unicode("storage");
    p.global("torch", storage_name(entry.dtype));
    p.unicode(std::to_string(i));
    p.unicode("cpu");
    p.integer(entry.shape.numel());
    p.op(Op::kTuple);
    p.op(Op::kBinPersId);
    p.integer(0);
    p.tuple(entry.shape);
    p.tuple(entry.shape.contiguous_strides());
    p.op(Op::kNewFalse);  // requires_grad
    p.empty_dict();
    p.op(Op::kTuple);
    p.op(Op::kReduce);
  }
  p.op(Op::kSetItems);
  p.op(Op::kStop);
  return p.text();
}

class PthWriter : public TensorWriter {
 public:
  PthWriter(const std::string& path, std::vector<TensorEntry> entries,
            const std::map<std::string, std::string>& metadata)
      : TensorWriter(path, std::move(entries)), zip_(path) {
    add("data.pkl", pickled(this->entries()));
    add("byteorder", "little");
    for (const auto& [name, value] : metadata) { add(kPthExtra + name, value); }
  }

 private:
  void add(const std::string& name, const std::string& content) {
    zip_.begin(kFolder + name, static_cast<int64_t>(content.size()));
    zip_.write(content.data(), static_cast<int64_t>(content.size()));
  }
  void write_entry(const TensorEntry& entry, const Tensor& value) override {
    zip_.begin(cat(kFolder, "data/", written_++), entry.bytes());
    zip_.write(value.raw_data(), entry.bytes());
  }
  void finish() override {
    add("version", "3\n");
    zip_.commit();
  }

  ZipWriter zip_;
  int64_t written_ = 0;
};

}  // namespace

std::unique_ptr<TensorWriter> create_pth(const std::string& path, std::vector<TensorEntry> entries,
                                         const std::map<std::string, std::string>& metadata) {
  return std::make_unique<PthWriter>(path, std::move(entries), metadata);
}

}  // namespace terrace
