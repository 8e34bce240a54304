#include "data/formats/safetensors.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string_view>

#include "data/files/atomic_file.h"
#include "data/files/checksum.h"
#include "data/files/json.h"
#include "data/formats/stored_tensor.h"
#include "data/formats/without_checksums.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

constexpr int64_t kMaxHeader = 100'000'000;
constexpr const char* kMetadata = "__metadata__";
constexpr const char* kChecksums = "terrace_checksums";
constexpr std::string_view kKind = "xxh3:";
constexpr size_t kDigits = 16;

// In the order of ElementType.
constexpr const char* kDtypeNames[] = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16",
                                       "I8",  "U64", "U32", "U16",  "U8",  "BOOL"};

[[noreturn]] void fail(const std::string& path, const std::string& why) {
  throw IoError(cat("cannot read ", path, ": safetensors: ", why));
}

ElementType element_type(const std::string& name, const std::string& path, const std::string& tensor) {
  const auto found = std::find(std::begin(kDtypeNames), std::end(kDtypeNames), name);
  if (found == std::end(kDtypeNames)) { fail(path, cat("tensor \"", tensor, "\": dtype ", name, " is not supported")); }
  return static_cast<ElementType>(found - std::begin(kDtypeNames));
}

uint64_t header_length(const MappedFile& file) {
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  return length;
}

/// Parses the header; a name that comes twice in one object is an error.
SortedJson parse_header(const MappedFile& file, int64_t length) {
  std::vector<std::set<std::string>> names;
  std::string repeated;
  const auto watch = [&](int, SortedJson::parse_event_t event, SortedJson& value) {
    if (event == SortedJson::parse_event_t::object_start) { names.emplace_back(); }
    if (event == SortedJson::parse_event_t::object_end) { names.pop_back(); }
    if (event == SortedJson::parse_event_t::key && !names.back().insert(value.get<std::string>()).second) {
      repeated = value.get<std::string>();
    }
    return true;
  };
  const char* text = reinterpret_cast<const char*>(file.data()) + 8;
  SortedJson header;
  try {
    header = SortedJson::parse(text, text + length, watch);
  } catch (const SortedJson::parse_error& error) {
    fail(file.path(), cat("the header is not JSON: it has a mistake at its byte ", error.byte));
  } catch (const SortedJson::exception&) { fail(file.path(), "the header is not JSON"); }
  if (!header.is_object()) { fail(file.path(), "the header is not a JSON object"); }
  if (!repeated.empty()) { fail(file.path(), cat("the name \"", repeated, "\" comes twice")); }
  return header;
}

std::map<std::string, std::string> parse_metadata(const SortedJson& value, const std::string& path) {
  std::map<std::string, std::string> metadata;
  if (!value.is_object()) { fail(path, "__metadata__ is not an object"); }
  for (const auto& item : value.items()) {
    if (!item.value().is_string()) { fail(path, cat("__metadata__: \"", item.key(), "\" is not text")); }
    metadata[item.key()] = item.value().get<std::string>();
  }
  return metadata;
}

/// An array of whole numbers of 0 or more.
std::vector<int64_t> numbers(const SortedJson& tensor, const char* key, const std::string& path,
                             const std::string& name) {
  const auto found = tensor.find(key);
  const bool valid =
      found != tensor.end() && found->is_array() && std::all_of(found->begin(), found->end(), [](const SortedJson& n) {
        return n.is_number_unsigned() && n.get<uint64_t>() < (uint64_t{1} << 63);
      });
  if (!valid) { fail(path, cat("tensor \"", name, "\": ", key, " is not a list of whole numbers")); }
  return found->get<std::vector<int64_t>>();
}

struct Part {
  int64_t begin, end;
  StoredTensor tensor;
};

Part parse_tensor(const std::string& name, const SortedJson& value, const std::shared_ptr<const MappedFile>& file,
                  int64_t data_begin) {
  const std::string& path = file->path();
  if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string()) {
    fail(path, cat("tensor \"", name, "\" has no dtype"));
  }
  const std::vector<int64_t> offsets = numbers(value, "data_offsets", path, name);
  if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > file->size() - data_begin) {
    fail(path, cat("tensor \"", name, "\": data_offsets ", Shape(offsets), " do not lie in the ",
                   file->size() - data_begin, " bytes of data"));
  }
  Part part{offsets[0], offsets[1], {}};
  StoredTensor& t = part.tensor;
  t.name = name;
  t.type = element_type(value["dtype"].get<std::string>(), path, name);
  t.shape = Shape(numbers(value, "shape", path, name));
  const int64_t count = checked_numel(t.shape, cat("cannot read ", path, ": safetensors: tensor \"", name, "\""));
  if (count * size_of(t.type) != part.end - part.begin) {
    fail(path, cat("tensor \"", name, "\": shape ", t.shape, " and dtype ", value["dtype"].get<std::string>(), " need ",
                   count * size_of(t.type), " bytes, data_offsets give ", part.end - part.begin));
  }
  t.strides = t.shape.contiguous_strides();
  t.bytes = ByteRange(file, data_begin + part.begin, part.end - part.begin);
  return part;
}

/// Every byte of the data must belong to exactly one tensor.
void check_parts(std::vector<Part>& parts, const std::string& path, int64_t data_size) {
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Part& a, const Part& b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
  int64_t end = 0;
  for (const Part& part : parts) {
    if (part.begin != end) {
      fail(path, cat("tensor \"", part.tensor.name, "\" begins at byte ", part.begin, " of the data, ",
                     part.begin < end ? "within the tensor before it" : "behind a hole", ", which ends at ", end));
    }
    end = part.end;
  }
  if (end != data_size) { fail(path, cat("the tensors end at byte ", end, " of ", data_size, " bytes of data")); }
}

/// Of the header's length and text, in which the digits of this checksum, from `at` on, count as zeros.
std::string digits_of_header(std::string_view header, size_t at) {
  const uint64_t length = header.size();
  Checksum checksum;
  checksum.update(&length, sizeof length);
  checksum.update(header.data(), at);
  checksum.update(std::string(kDigits, '0').data(), kDigits);
  checksum.update(header.data() + at + kDigits, header.size() - at - kDigits);
  return checksum_digits(checksum.value());
}

/// Takes the file's checksums from the metadata and gives each part its own, when they are those of the header.
void take_checksums(std::map<std::string, std::string>& metadata, std::vector<Part>& parts, std::string_view header,
                    const std::string& path) {
  // One flipped bit can change the name or the kind, not both.
  const auto found = std::find_if(metadata.begin(), metadata.end(), [](const auto& item) {
    return item.first == kChecksums || item.second.starts_with(kKind);
  });
  if (found == metadata.end()) { return note_without_checksums(path); }
  const std::string value = found->second;
  const size_t at = header.find(value) + kKind.size();
  const bool fits = found->first == kChecksums && value.size() == kKind.size() + kDigits * (parts.size() + 1) &&
                    at >= kKind.size() && digits_of_header(header, at) == value.substr(kKind.size(), kDigits);
  if (!fits) { fail(path, "damaged: its header is not what was written"); }
  size_t next = kKind.size();
  for (Part& part : parts) {
    next += kDigits;
    part.tensor.checksum = std::stoull(value.substr(next, kDigits), nullptr, 16);
  }
  metadata.erase(found);
}

class SafetensorsWriter : public TensorWriter {
 public:
  SafetensorsWriter(const std::string& path, std::vector<TensorEntry> entries,
                    std::map<std::string, std::string> metadata)
      : TensorWriter(path, std::move(entries)), file_(path) {
    Json header = Json::object();
    const std::string placeholder = cat(kKind, std::string(kDigits * (this->entries().size() + 1), '0'));
    metadata[kChecksums] = placeholder;
    header[kMetadata] = metadata;
    int64_t offset = 0;
    for (const TensorEntry& entry : this->entries()) {
      header[entry.name] = {{"dtype", kDtypeNames[static_cast<size_t>(element_type_of(entry.dtype))]},
                            {"shape", entry.shape.vector()},
                            {"data_offsets", {offset, offset + entry.bytes()}}};
      offset += entry.bytes();
    }
    try {
      header_ = json_text(header);
    } catch (const Json::exception&) { throw IoError(cat("cannot write ", path, ": a name is not UTF-8")); }
    header_.resize((header_.size() + 7) / 8 * 8, ' ');
    checksums_at_ = header_.find(placeholder) + kKind.size();
    const uint64_t length = header_.size();
    file_.write(&length, sizeof length);
    file_.write(header_);
  }

 private:
  void write_entry(const TensorEntry& entry, const Tensor& value) override {
    const auto count = static_cast<size_t>(entry.bytes());
    file_.write(value.raw_data(), count);
    checksums_ += checksum_digits(checksum_of_pieces(value.raw_data(), count));
  }
  void finish() override {
    header_.replace(checksums_at_ + kDigits, checksums_.size(), checksums_);
    header_.replace(checksums_at_, kDigits, digits_of_header(header_, checksums_at_));
    file_.write_at(sizeof(uint64_t), header_);
    file_.commit();
  }

  AtomicFile file_;
  std::string header_, checksums_;  // of the tensors written so far
  size_t checksums_at_ = 0;         // in the header
};

}  // namespace

bool is_safetensors(const MappedFile& file) {
  // The reference writes a header that begins with an open brace; a header length beyond the file is reported by the
  // reader.
  return file.size() >= 9 && file.data()[8] == std::byte{'{'};
}

std::shared_ptr<const TensorReader> open_safetensors(std::shared_ptr<const MappedFile> file) {
  const std::string& path = file->path();
  const uint64_t length = header_length(*file);
  if (length > kMaxHeader) { fail(path, cat("a header of ", length, " bytes; ", kMaxHeader, " are allowed")); }
  if (static_cast<int64_t>(length) > file->size() - 8) {
    fail(path, cat("truncated: a header of ", length, " bytes in a file of ", file->size()));
  }
  const int64_t data_begin = 8 + static_cast<int64_t>(length);
  const SortedJson header = parse_header(*file, static_cast<int64_t>(length));
  std::map<std::string, std::string> metadata;
  std::vector<Part> parts;
  for (const auto& item : header.items()) {
    if (item.key() == kMetadata) {
      metadata = parse_metadata(item.value(), path);
    } else {
      parts.push_back(parse_tensor(item.key(), item.value(), file, data_begin));
    }
  }
  check_parts(parts, path, file->size() - data_begin);
  const auto* text = reinterpret_cast<const char*>(file->data()) + 8;
  take_checksums(metadata, parts, {text, static_cast<size_t>(length)}, path);
  std::vector<StoredTensor> tensors;
  for (Part& part : parts) { tensors.push_back(std::move(part.tensor)); }
  return std::make_shared<const StoredTensors>(path, std::move(tensors), std::move(metadata));
}

std::unique_ptr<TensorWriter> create_safetensors(const std::string& path, std::vector<TensorEntry> entries,
                                                 const std::map<std::string, std::string>& metadata) {
  return std::make_unique<SafetensorsWriter>(path, std::move(entries), metadata);
}

}  // namespace terrace
