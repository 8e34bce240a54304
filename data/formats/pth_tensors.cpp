#include "data/formats/pth_tensors.h"

#include <algorithm>
#include <iterator>

#include "tensor/base/error.h"

namespace terrace {
namespace {

using Kind = PickleValue::Kind;

constexpr int kMaxDepth = 64;
constexpr size_t kMaxVisits = 1 << 20;
constexpr size_t kMaxText = 64 << 20;

struct StorageType {
  const char* name;
  ElementType type;
};
constexpr StorageType kStorageTypes[] = {{"DoubleStorage", ElementType::kF64}, {"FloatStorage", ElementType::kF32},
                                         {"HalfStorage", ElementType::kF16},   {"BFloat16Storage", ElementType::kBF16},
                                         {"LongStorage", ElementType::kI64},   {"IntStorage", ElementType::kI32},
                                         {"ShortStorage", ElementType::kI16},  {"CharStorage", ElementType::kI8},
                                         {"ByteStorage", ElementType::kU8},    {"BoolStorage", ElementType::kBool}};

int64_t whole_number(const PickleValue& value, const char* what, const std::string& where) {
  if (value.kind != Kind::kInt || value.integer < 0) {
    throw IoError(cat(where, ": ", what, " is not a whole number"));
  }
  return value.integer;
}

Shape numbers(const PickleValue& value, const char* what, const std::string& where) {
  if (value.kind != Kind::kTuple && value.kind != Kind::kList) {
    throw IoError(cat(where, ": ", what, " is not a tuple"));
  }
  constexpr size_t kMaxDimensions = 64;
  if (value.items.size() > kMaxDimensions) { throw IoError(cat(where, ": ", value.items.size(), " dimensions")); }
  Shape shape;
  for (const PickleValue* item : value.items) { shape.push_back(whole_number(*item, what, where)); }
  return shape;
}

/// A plain value as Python prints it; false for the others.
bool plain_text(const PickleValue& value, std::string& text) {
  switch (value.kind) {
    case Kind::kNone:
      text = "None";
      return true;
    case Kind::kBool:
      text = value.integer != 0 ? "True" : "False";
      return true;
    case Kind::kInt:
      text = std::to_string(value.integer);
      return true;
    case Kind::kFloat:
      text = cat(value.real);
      return true;
    case Kind::kText:
    case Kind::kBigInt:
      text = value.text;
      return true;
    default:
      return false;
  }
}

/// Walks the values from the root. They may form any graph: a value that is reached twice is two entries, and what is
/// visited is limited, so that neither circles nor lists of lists that double at each level go on for ever.
class Collector {
 public:
  Collector(std::string path, const std::function<ByteRange(const PthStorage&)>& bytes_of,
            std::map<std::string, std::string> texts_beside)
      : path_(std::move(path)),
        where_(cat("cannot read ", path_, ": pth")),
        bytes_of_(bytes_of),
        texts_beside_(std::move(texts_beside)) {}

  void visit(const PickleValue& value, const std::string& name, int depth) {
    text_ += name.size() + value.text.size();
    if (depth > kMaxDepth || ++visits_ > kMaxVisits || text_ > kMaxText) {
      throw IoError(cat(where_, ": the objects are nested without end, or too many"));
    }
    std::string text;
    if (value.kind == Kind::kTensor) {
      add_tensor(value, name.empty() ? "tensor" : name);
    } else if (value.kind == Kind::kDict) {
      for (size_t i = 0; i + 1 < value.items.size(); i += 2) {
        const std::string key = plain_text(*value.items[i], text) ? text : cat("#", i / 2);
        visit(*value.items[i + 1], joined(name, key), depth + 1);
      }
    } else if (value.kind == Kind::kList || value.kind == Kind::kTuple) {
      for (size_t i = 0; i < value.items.size(); ++i) {
        visit(*value.items[i], joined(name, std::to_string(i)), depth + 1);
      }
    } else if (plain_text(value, text)) {
      metadata_[name] = text;
    }
  }

  std::shared_ptr<const TensorReader> result() {
    texts_beside_.merge(metadata_);
    return std::make_shared<const StoredTensors>(path_, std::move(tensors_), std::move(texts_beside_));
  }

 private:
  static std::string joined(const std::string& name, const std::string& key) {
    return name.empty() ? key : name + "/" + key;
  }

  void add_tensor(const PickleValue& value, const std::string& name) {
    const std::string where = cat(where_, ": tensor \"", name, "\"");
    const PthStorage storage = parse_storage(*value.items[0], where);
    StoredTensor t;
    t.name = name;
    t.type = storage.type;
    t.offset = whole_number(*value.items[1], "the offset", where);
    t.shape = numbers(*value.items[2], "the size", where);
    t.strides = numbers(*value.items[3], "the stride", where);
    t.bytes = bytes_of_(storage);
    const int64_t held = t.bytes.size() / size_of(t.type);
    if (storage.elements > held) {
      throw IoError(
          cat(where, ": storage ", storage.key, " claims ", storage.elements, " elements, the file has ", held));
    }
    int64_t begin = 0, count = storage.elements;
    if (storage.is_view) {
      begin = storage.view_offset;
      count = storage.view_elements;
      if (begin > storage.elements || count > storage.elements - begin) {
        throw IoError(cat(where, ": storage ", storage.key, " is a view beyond its ", storage.elements, " elements"));
      }
    }
    t.bytes = t.bytes.part(begin * size_of(t.type), count * size_of(t.type));
    check_layout(t, where);
    tensors_.push_back(std::move(t));
  }

  std::string path_, where_;
  const std::function<ByteRange(const PthStorage&)>& bytes_of_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_, texts_beside_;
  size_t visits_ = 0, text_ = 0;
};

}  // namespace

PthStorage parse_storage(const PickleValue& value, const std::string& where) {
  const auto& items = value.items;
  const bool valid = value.kind == Kind::kPersistent && items.size() >= 5 && items[0]->text == "storage" &&
                     items[1]->kind == Kind::kGlobal;
  if (!valid) { throw IoError(cat(where, ": its storage is not described as PyTorch does")); }
  PthStorage storage;
  const std::string& type = items[1]->text;
  const auto found = std::find_if(std::begin(kStorageTypes), std::end(kStorageTypes),
                                  [&](const StorageType& t) { return type == std::string("torch.") + t.name; });
  if (found == std::end(kStorageTypes)) { throw IoError(cat(where, ": elements of ", type, " are not supported")); }
  storage.type = found->type;
  if (!plain_text(*items[2], storage.key)) { throw IoError(cat(where, ": the key of its storage is not text")); }
  storage.elements = whole_number(*items[4], "the size of its storage", where);
  if (items.size() > 5 && items[5]->kind != Kind::kNone) {
    const PickleValue& view = *items[5];
    if (view.kind != Kind::kTuple || view.items.size() != 3) {
      throw IoError(cat(where, ": its storage's view is damaged"));
    }
    storage.is_view = true;
    storage.view_offset = whole_number(*view.items[1], "the offset of its storage", where);
    storage.view_elements = whole_number(*view.items[2], "the size of its storage", where);
  }
  return storage;
}

std::shared_ptr<const TensorReader> collect_tensors(const Pickle& pickle, const std::string& path,
                                                    const std::function<ByteRange(const PthStorage&)>& bytes_of,
                                                    std::map<std::string, std::string> texts_beside) {
  Collector collector(path, bytes_of, std::move(texts_beside));
  collector.visit(*pickle.root, "", 0);
  return collector.result();
}

}  // namespace terrace
