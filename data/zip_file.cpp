#include "data/zip_file.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cstring>
#include <exception>

#include "data/atomic_file.h"
#include "tensor/error.h"

namespace terrace {
namespace {

struct ArchiveCloser {
  void operator()(archive* a) const { archive_read_free(a); }
};
using ArchiveReader = std::unique_ptr<archive, ArchiveCloser>;

// Deflate makes nothing more than 1032 times smaller.
constexpr int64_t kLargestRatio = 1032;
constexpr int64_t kMostEntries = 1 << 20;

[[noreturn]] void fail(const MappedFile& file, const std::string& why) {
  throw IoError(cat("cannot read ", file.path(), ": ", why));
}

std::string reason(archive* a) {
  const char* text = archive_error_string(a);
  return text == nullptr ? "damaged zip archive" : text;
}

ArchiveReader open_reader(const MappedFile& file) {
  ArchiveReader a(archive_read_new());
  archive_read_support_format_zip_seekable(a.get());
  // Seen through a window: where an entry's length stands behind it, the library searches what it sees for the end.
  constexpr size_t kWindow = 1 << 16;
  if (archive_read_open_memory2(a.get(), file.data(), static_cast<size_t>(file.size()), kWindow) != ARCHIVE_OK) {
    fail(file, cat("a zip archive without its directory, probably truncated (", reason(a.get()), ")"));
  }
  return a;
}

/// The next entry, or nullptr after the last.
archive_entry* next_entry(archive* a, const MappedFile& file) {
  archive_entry* entry = nullptr;
  const int status = archive_read_next_header(a, &entry);
  if (status == ARCHIVE_EOF) return nullptr;
  if (status < ARCHIVE_WARN) fail(file, cat("damaged zip archive: ", reason(a)));
  return entry;
}

std::string name_of(archive_entry* entry) {
  const char* name = archive_entry_pathname_utf8(entry);
  if (name == nullptr) name = archive_entry_pathname(entry);
  return name == nullptr ? "" : name;
}

/// Where the content of a stored entry lies in the file: the library hands such content out without copying it. Data
/// that does not lie in the file has been inflated.
int64_t stored_offset(archive* a, const MappedFile& file, const ZipEntry& entry) {
  if (entry.size == 0) return 0;
  const void* block = nullptr;
  size_t count = 0;
  la_int64_t position = 0;
  const int status = archive_read_data_block(a, &block, &count, &position);
  if (status < ARCHIVE_WARN) fail(file, cat("damaged zip archive: entry \"", entry.name, "\": ", reason(a)));
  if (status == ARCHIVE_EOF || !file.contains(block)) return -1;
  const int64_t offset = static_cast<const std::byte*>(block) - file.data();
  if (entry.size > file.size() - offset) {
    fail(file, cat("damaged zip archive: entry \"", entry.name, "\" of ", entry.size, " bytes ends beyond the file"));
  }
  return offset;
}

}  // namespace

/// A compressed entry and how far it has been inflated.
struct ZipReader::Inflater {
  ArchiveReader reader;
  int64_t entry = -1, position = 0;
};

bool ZipReader::recognises(const MappedFile& file) {
  return file.size() >= 4 && std::memcmp(file.data(), "PK\x03\x04", 4) == 0;
}

ZipReader::ZipReader(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {
  const ArchiveReader reader = open_reader(*file_);
  while (archive_entry* found = next_entry(reader.get(), *file_)) {
    ZipEntry entry{.name = name_of(found), .size = archive_entry_size(found)};
    if (!index_.emplace(entry.name, static_cast<int64_t>(entries_.size())).second) {
      fail(*file_, cat("two entries of the zip archive are named \"", entry.name, "\""));
    }
    if (static_cast<int64_t>(index_.size()) > kMostEntries) fail(*file_, cat("more than ", kMostEntries, " entries"));
    if (entry.size < 0 || entry.size / kLargestRatio > file_->size()) {
      fail(*file_, cat("entry \"", entry.name, "\" claims ", entry.size, " bytes, which a file of ", file_->size(),
                       " bytes cannot hold"));
    }
    entry.offset = stored_offset(reader.get(), *file_, entry);
    entries_.push_back(std::move(entry));
  }
}

ZipReader::~ZipReader() = default;

int64_t ZipReader::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? -1 : found->second;
}

void ZipReader::read(int64_t entry, int64_t offset, std::byte* out, int64_t count) const {
  const ZipEntry& wanted = entries_[static_cast<size_t>(entry)];
  if (offset < 0 || count < 0 || count > wanted.size - offset) {
    throw IndexError(cat(file_->path(), ": bytes [", offset, ", ", offset + count, ") of entry \"", wanted.name,
                         "\" of ", wanted.size));
  }
  if (count == 0) return;
  if (wanted.offset >= 0) {
    std::memcpy(out, file_->data() + wanted.offset + offset, static_cast<size_t>(count));
    return;
  }
  if (!inflater_ || inflater_->entry > entry || (inflater_->entry == entry && inflater_->position > offset)) {
    inflater_ = std::make_unique<Inflater>(Inflater{.reader = open_reader(*file_)});
  }
  archive* a = inflater_->reader.get();
  for (; inflater_->entry < entry; ++inflater_->entry) {
    if (next_entry(a, *file_) == nullptr) fail(*file_, "damaged zip archive: an entry disappeared");
    inflater_->position = 0;
  }
  const auto inflate = [&](std::byte* to, int64_t want) {
    const la_ssize_t got = archive_read_data(a, to, static_cast<size_t>(want));
    if (got <= 0) {
      const std::string why = got < 0 ? reason(a) : cat("it ends after ", inflater_->position, " bytes");
      inflater_.reset();
      fail(*file_, cat("damaged zip archive: entry \"", wanted.name, "\": ", why));
    }
    inflater_->position += got;
    return static_cast<int64_t>(got);
  };
  std::byte skipped[1 << 14];
  while (inflater_->position < offset) {
    inflate(skipped, std::min<int64_t>(sizeof skipped, offset - inflater_->position));
  }
  for (int64_t done = 0; done < count;) done += inflate(out + done, count - done);
}

// --- Writing --------------------------------------------------------------------------------------------------------

struct ZipWriter::Impl {
  explicit Impl(const std::string& name) : path(name), file(name) {}

  std::string path;
  AtomicFile file;
  archive* a = nullptr;
  std::string entry;
  int64_t missing = 0;  // bytes of the entry that have not come yet
  std::exception_ptr error;

  static la_ssize_t write_block(archive*, void* self, const void* bytes, size_t count) {
    auto* impl = static_cast<Impl*>(self);
    try {
      impl->file.write(bytes, count);
      return static_cast<la_ssize_t>(count);
    } catch (...) {
      impl->error = std::current_exception();
      return -1;
    }
  }
  void check(int status) {
    if (error) std::rethrow_exception(error);
    if (status < ARCHIVE_WARN) throw IoError(cat("cannot write ", path, ": ", reason(a)));
  }
  void check_full() const {
    if (missing != 0) throw IoError(cat("cannot write ", path, ": entry \"", entry, "\" lacks ", missing, " bytes"));
  }
};

ZipWriter::ZipWriter(const std::string& path) : impl_(std::make_unique<Impl>(path)) {
  impl_->a = archive_write_new();
  archive_write_set_format_zip(impl_->a);
  archive_write_zip_set_compression_store(impl_->a);
  archive_write_set_bytes_in_last_block(impl_->a, 1);  // no padding behind the directory
  impl_->check(archive_write_open(impl_->a, impl_.get(), nullptr, &Impl::write_block, nullptr));
}

ZipWriter::~ZipWriter() {
  if (impl_->a == nullptr) return;
  archive_write_fail(impl_->a);
  archive_write_free(impl_->a);
}

const std::string& ZipWriter::path() const { return impl_->path; }

void ZipWriter::begin(const std::string& name, int64_t size) {
  impl_->check_full();
  archive_entry* entry = archive_entry_new();
  archive_entry_set_pathname(entry, name.c_str());
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_perm(entry, 0644);
  archive_entry_set_size(entry, size);
  archive_entry_set_mtime(entry, 0, 0);  // the same content gives the same bytes whenever it is written
  const int status = archive_write_header(impl_->a, entry);
  archive_entry_free(entry);
  impl_->check(status);
  impl_->entry = name;
  impl_->missing = size;
}

void ZipWriter::write(const void* bytes, int64_t count) {
  if (count > impl_->missing) {
    throw IoError(cat("cannot write ", path(), ": entry \"", impl_->entry, "\" has room for ", impl_->missing,
                      " bytes more, got ", count));
  }
  const auto* next = static_cast<const std::byte*>(bytes);
  impl_->missing -= count;
  while (count > 0) {
    const la_ssize_t written = archive_write_data(impl_->a, next, static_cast<size_t>(count));
    impl_->check(written <= 0 ? ARCHIVE_FATAL : ARCHIVE_OK);
    next += written;
    count -= written;
  }
}

void ZipWriter::commit() {
  impl_->check_full();
  impl_->check(archive_write_close(impl_->a));
  archive_write_free(impl_->a);
  impl_->a = nullptr;
  impl_->file.commit();
}

}  // namespace terrace
