#include "data/formats/pth_reader.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <set>
#include <string_view>
#include <vector>

#include "data/formats/pth_tensors.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

constexpr int64_t kMaxPickle = 64 << 20;
constexpr std::string_view kPickleName = "data.pkl";

// The legacy file's first pickle: protocol 2, the number 0x1950a86a20f9469cfc6c, stop.
constexpr std::string_view kLegacyHead("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
constexpr int64_t kLegacyProtocol = 1001;

/// The entry NAME/data.pkl; -1 where there is none.
int64_t find_pickle(const ZipReader& zip) {
  for (size_t i = 0; i < zip.entries().size(); ++i) {
    const std::string& name = zip.entries()[i].name;
    const size_t slash = name.find('/');
    if (name == kPickleName || (slash != std::string::npos && name.substr(slash + 1) == kPickleName)) {
      return static_cast<int64_t>(i);
    }
  }
  return -1;
}

std::string read_entry(const ZipReader& zip, int64_t entry, int64_t most) {
  const ZipEntry& e = zip.entries()[static_cast<size_t>(entry)];
  if (e.size > most) {
    throw IoError(
        cat("cannot read ", zip.file()->path(), ": pth: ", e.name, " has ", e.size, " bytes; ", most, " are allowed"));
  }
  std::string content(static_cast<size_t>(e.size), '\0');
  zip.check(entry);
  zip.read(entry, 0, reinterpret_cast<std::byte*>(content.data()), e.size);
  return content;
}

/// The entries whose names begin with `prefix`, by what follows it.
std::map<std::string, std::string> texts_beside(const ZipReader& zip, const std::string& prefix) {
  std::map<std::string, std::string> texts;
  for (size_t i = 0; i < zip.entries().size(); ++i) {
    const std::string& name = zip.entries()[i].name;
    if (!name.starts_with(prefix) || name.size() == prefix.size()) { continue; }
    texts[name.substr(prefix.size())] = read_entry(zip, static_cast<int64_t>(i), kMaxPickle);
  }
  return texts;
}

const PickleValue* value_of(const PickleValue& dict, const std::string& key) {
  if (dict.kind != PickleValue::Kind::kDict) { return nullptr; }
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    if (dict.items[i]->text == key) { return dict.items[i + 1]; }
  }
  return nullptr;
}

/// Walks the pickles and storages of a legacy file.
class LegacyReader {
 public:
  explicit LegacyReader(std::shared_ptr<const MappedFile> file)
      : file_(std::move(file)), where_(cat("cannot read ", file_->path(), ": pth")) {}

  std::shared_ptr<const TensorReader> read() {
    next_pickle();  // the magic number, which has been seen
    const Pickle protocol = next_pickle();
    if (protocol.root->integer != kLegacyProtocol) {
      throw IoError(cat(where_, ": protocol ", protocol.root->integer, " is not known"));
    }
    const Pickle system = next_pickle();
    const PickleValue* little = value_of(*system.root, "little_endian");
    if (little != nullptr && little->integer == 0) { throw IoError(cat(where_, ": written by a big-endian machine")); }
    const Pickle objects = next_pickle();
    find_storages(objects, next_pickle());
    return collect_tensors(objects, file_->path(), [this](const PthStorage& s) { return bytes_of(s); });
  }

 private:
  Pickle next_pickle() {
    const int64_t size = std::min(file_->size() - at_, kMaxPickle);
    Pickle pickle = read_pickle({file_->data() + at_, static_cast<size_t>(size)}, where_);
    at_ += static_cast<int64_t>(pickle.end);
    return pickle;
  }

  /// Where the bytes of each key lie. Their element sizes are those of the storages that the objects mention.
  void find_storages(const Pickle& objects, const Pickle& keys) {
    std::map<std::string, int64_t> element_sizes;
    for (const PickleValue& value : objects.values) {
      if (value.kind != PickleValue::Kind::kPersistent) { continue; }
      const PthStorage storage = parse_storage(value, where_);
      element_sizes[storage.key] = size_of(storage.type);
    }
    if (keys.root->kind != PickleValue::Kind::kList) {
      throw IoError(cat(where_, ": the keys of the storages are no list"));
    }
    for (const PickleValue* item : keys.root->items) {
      const std::string key = item->kind == PickleValue::Kind::kInt ? std::to_string(item->integer) : item->text;
      const auto element = element_sizes.find(key);
      if (element == element_sizes.end()) {
        throw IoError(cat(where_, ": storage \"", key, "\" belongs to no tensor"));
      }
      const auto truncated = [&] { return IoError(cat(where_, ": truncated within storage \"", key, "\"")); };
      int64_t count = 0;
      if (file_->size() - at_ < 8) { throw truncated(); }
      std::memcpy(&count, file_->data() + at_, 8);
      at_ += 8;
      if (count < 0 || count > (file_->size() - at_) / element->second) { throw truncated(); }
      storages_[key] = ByteRange(file_, at_, count * element->second);
      at_ += count * element->second;
    }
  }

  ByteRange bytes_of(const PthStorage& storage) const {
    const auto found = storages_.find(storage.key);
    if (found == storages_.end()) { throw IoError(cat(where_, ": storage \"", storage.key, "\" is missing")); }
    return found->second;
  }

  std::shared_ptr<const MappedFile> file_;
  std::string where_;
  int64_t at_ = 0;
  std::map<std::string, ByteRange> storages_;
};

}  // namespace

bool is_pth_zip(const ZipReader& zip) { return find_pickle(zip) >= 0; }

std::shared_ptr<const TensorReader> open_pth_zip(std::shared_ptr<const ZipReader> zip) {
  const std::string path = zip->file()->path(), where = cat("cannot read ", path, ": pth");
  const int64_t entry = find_pickle(*zip);
  const std::string& name = zip->entries()[static_cast<size_t>(entry)].name;
  const std::string prefix = name.substr(0, name.size() - kPickleName.size());
  const int64_t order = zip->find(prefix + "byteorder");
  if (order >= 0 && read_entry(*zip, order, 64) != "little") {
    throw IoError(cat(where, ": written by a big-endian machine"));
  }
  const std::string program = read_entry(*zip, entry, kMaxPickle);
  const Pickle pickle = read_pickle(std::as_bytes(std::span(program)), where);
  const auto bytes_of = [&](const PthStorage& storage) {
    const int64_t record = zip->find(prefix + "data/" + storage.key);
    if (record < 0) { throw IoError(cat(where, ": record ", prefix, "data/", storage.key, " is missing")); }
    return ByteRange(zip, record);
  };
  return collect_tensors(pickle, path, bytes_of, texts_beside(*zip, prefix + kPthExtra));
}

bool is_legacy_pth(const MappedFile& file) {
  return file.size() >= static_cast<int64_t>(kLegacyHead.size()) &&
         std::memcmp(file.data(), kLegacyHead.data(), kLegacyHead.size()) == 0;
}

std::shared_ptr<const TensorReader> open_legacy_pth(std::shared_ptr<const MappedFile> file) {
  return LegacyReader(std::move(file)).read();
}

}  // namespace terrace
