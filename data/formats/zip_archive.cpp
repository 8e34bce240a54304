#include "data/formats/zip_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>

#include "data/files/archive_reason.h"
#include "data/files/atomic_file.h"
#include "data/formats/without_checksums.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

/// Entries are read in pieces of this many bytes, so that the memory in use does not grow with the file.
constexpr int64_t kPiece = 16 << 20;

[[noreturn]] void fail(const MappedFile& file, const std::string& why) {
  throw IoError(cat("cannot read ", file.path(), ": ", why));
}

const Bytef* as_zlib(const std::byte* bytes) { return reinterpret_cast<const Bytef*>(bytes); }

std::string hexadecimal(uint32_t value) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", value);
  return text;
}

/// CRC-32 of a piece; its parts are computed by several threads and combined.
uint32_t crc_of(const std::byte* bytes, int64_t count) {
  constexpr int64_t kPart = 1 << 20;
  const int64_t parts = (count + kPart - 1) / kPart;
  std::vector<uLong> crcs(static_cast<size_t>(parts));
#pragma omp parallel for
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t begin = i * kPart, size = std::min(kPart, count - begin);
    crcs[static_cast<size_t>(i)] = crc32_z(0, as_zlib(bytes + begin), static_cast<z_size_t>(size));
  }
  uLong crc = 0;
  for (int64_t i = 0; i < parts; ++i) {
    crc = crc32_combine(crc, crcs[static_cast<size_t>(i)], std::min(kPart, count - i * kPart));
  }
  return static_cast<uint32_t>(crc);
}

void compare_crc(const MappedFile& file, const ZipEntry& entry, uint32_t crc) {
  if (entry.crc == 0 || crc == entry.crc) { return; }
  fail(file, cat("damaged zip archive: entry \"", entry.name, "\" has the CRC-32 ", hexadecimal(crc),
                 ", the archive says ", hexadecimal(entry.crc)));
}

}  // namespace

/// A deflated entry and how far it has been inflated.
class ZipReader::Inflater {
 public:
  Inflater(const MappedFile& file, const ZipEntry& entry) : file_(file), entry_(entry) {
    constexpr int kWithoutHeader = -MAX_WBITS;
    if (inflateInit2(&stream_, kWithoutHeader) != Z_OK) { fail("zlib has no memory"); }
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  const ZipEntry& entry() const { return entry_; }
  int64_t position() const { return position_; }

  void read(std::byte* out, int64_t count) {
    while (count > 0) {
      const int64_t wanted = std::min(count, kPiece);
      inflate_piece(out, wanted);
      crc_ = crc32_z(crc_, as_zlib(out), static_cast<z_size_t>(wanted));
      position_ += wanted;
      out += wanted;
      count -= wanted;
    }
    if (position_ == entry_.size) { compare_crc(file_, entry_, static_cast<uint32_t>(crc_)); }
  }

 private:
  void inflate_piece(std::byte* out, int64_t count) {
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = static_cast<uInt>(count);
    while (stream_.avail_out > 0) {
      if (stream_.avail_in == 0) { next_input(); }
      const int status = inflate(&stream_, Z_NO_FLUSH);
      if (status != Z_OK && stream_.msg != nullptr) { fail(stream_.msg); }
      if (status != Z_OK && stream_.avail_out > 0) {
        fail(cat("it ends after ", position_ + count - stream_.avail_out, " bytes"));
      }
    }
  }
  /// The next of the entry's bytes in the file; those that have been inflated leave memory.
  void next_input() {
    file_.release(entry_.offset, entry_.offset + taken_);
    const int64_t count = std::min(kPiece, entry_.packed - taken_);
    stream_.next_in = const_cast<Bytef*>(as_zlib(file_.data() + entry_.offset + taken_));
    stream_.avail_in = static_cast<uInt>(count);
    taken_ += count;
  }
  [[noreturn]] void fail(const std::string& why) const {
    terrace::fail(file_, cat("damaged zip archive: entry \"", entry_.name, "\": ", why));
  }

  const MappedFile& file_;
  const ZipEntry& entry_;
  z_stream stream_{};
  int64_t taken_ = 0;     // of the bytes in the file
  int64_t position_ = 0;  // in the content
  uLong crc_ = 0;         // of what comes before it
};

bool ZipReader::recognises(const MappedFile& file) {
  return file.size() >= 4 && std::memcmp(file.data(), "PK\x03\x04", 4) == 0;
}

ZipReader::ZipReader(std::shared_ptr<const MappedFile> file)
    : file_(std::move(file)), entries_(read_zip_directory(*file_)), checked_(entries_.size()) {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (!index_.emplace(entries_[i].name, static_cast<int64_t>(i)).second) {
      fail(*file_, cat("two entries of the zip archive are named \"", entries_[i].name, "\""));
    }
  }
}

ZipReader::~ZipReader() = default;

int64_t ZipReader::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? -1 : found->second;
}

void ZipReader::check(int64_t index) const {
  const ZipEntry& entry = entries_[static_cast<size_t>(index)];
  if (checked_[static_cast<size_t>(index)] || entry.size == 0) { return; }
  if (entry.crc == 0) {
    note_without_checksums(file_->path());
  } else if (entry.deflated) {
    check_deflated(entry);
  } else {
    check_stored(entry);
  }
  checked_[static_cast<size_t>(index)] = true;
}

void ZipReader::check_stored(const ZipEntry& entry) const {
  uLong crc = 0;
  for (int64_t done = 0; done < entry.size; done += kPiece) {
    const int64_t begin = entry.offset + done, count = std::min(kPiece, entry.size - done);
    crc = crc32_combine(crc, crc_of(file_->data() + begin, count), count);
    if (entry.size > 2 * kPiece) {
      file_->release(begin, begin + count);  // a small entry stays until it has been copied
    }
  }
  compare_crc(*file_, entry, static_cast<uint32_t>(crc));
}

void ZipReader::check_deflated(const ZipEntry& entry) const {
  Inflater inflater(*file_, entry);  // which compares the CRC-32 at the end
  std::vector<std::byte> piece(static_cast<size_t>(std::min(kPiece, entry.size)));
  while (inflater.position() < entry.size) {
    inflater.read(piece.data(), std::min(kPiece, entry.size - inflater.position()));
  }
}

void ZipReader::read(int64_t index, int64_t offset, std::byte* out, int64_t count) const {
  const ZipEntry& entry = entries_[static_cast<size_t>(index)];
  if (offset < 0 || count < 0 || count > entry.size - offset) {
    throw IndexError(cat(file_->path(), ": bytes [", offset, ", ", offset + count, ") of entry \"", entry.name,
                         "\" of ", entry.size));
  }
  if (count == 0) { return; }
  if (!entry.deflated) {
    std::memcpy(out, file_->data() + entry.offset + offset, static_cast<size_t>(count));
    return;
  }
  if (!inflater_ || &inflater_->entry() != &entry || inflater_->position() > offset) {
    inflater_ = std::make_unique<Inflater>(*file_, entry);
  }
  try {
    std::byte skipped[1 << 14];
    while (inflater_->position() < offset) {
      inflater_->read(skipped, std::min<int64_t>(sizeof skipped, offset - inflater_->position()));
    }
    inflater_->read(out, count);
  } catch (...) {
    inflater_.reset();
    throw;
  }
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
    if (error) { std::rethrow_exception(error); }
    if (status < ARCHIVE_WARN) { throw IoError(cat("cannot write ", path, ": ", archive_reason(a))); }
  }
  void check_full() const {
    if (missing != 0) {
      throw IoError(cat("cannot write ", path, ": entry \"", entry, "\" lacks ", missing, " bytes"));
    }
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
  if (impl_->a == nullptr) { return; }
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
