// Opening and committing. Reading is a reader's (direct.cpp, remote.cpp), writing is in write.cpp, attributes in
// attributes.cpp.
#include "data/hdf5/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "data/hdf5/checked_driver.h"
#include "data/hdf5/direct.h"
#include "data/hdf5/file_impl.h"
#include "data/hdf5/remote.h"
#include "data/hdf5/trailer.h"
#include "tensor/base/error.h"
#include "tensor/base/notes.h"

namespace terrace {

using hdf5::Handle;
using hdf5::Lock;
using hdf5::ObjectKind;

namespace {

void check_readable(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) { throw IoError(cat("cannot read ", path, ": ", std::strerror(errno))); }
  if (S_ISDIR(status.st_mode)) { throw IoError(cat("cannot read ", path, ": it is a folder, not an HDF5 file")); }
  if (::access(path.c_str(), R_OK) != 0) { throw IoError(cat("cannot read ", path, ": ", std::strerror(errno))); }
  if (!S_ISREG(status.st_mode)) { throw IoError(cat("cannot read ", path, ": it is not a regular file")); }
  if (status.st_size == 0) { throw IoError(cat("cannot read ", path, ": the file is empty")); }
}

}  // namespace

Handle hdf5::open_unchecked(const std::string& path) {
  const htri_t foreign = H5Fis_hdf5(path.c_str());
  if (foreign == 0) { throw IoError(cat("cannot read ", path, ": it is not an HDF5 file")); }
  const Handle access(H5Pcreate(H5P_FILE_ACCESS));
#if H5_VERSION_GE(1, 10, 7)
  // Files appear complete and are never changed in place, so reading needs no lock (and not every disk has them).
  H5Pset_file_locking(access, false, true);
#endif
  Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access));
  if (!file.valid()) {
    const std::string reason = hdf5::last_reason();
    if (reason.find("truncated") != std::string::npos) {
      throw IoError(cat("cannot read ", path, ": the HDF5 file is truncated (", std::filesystem::file_size(path),
                        " bytes on disk)"));
    }
    throw IoError(cat("cannot read ", path, ": damaged HDF5 file: ", reason));
  }
  return file;
}

// --- Lifecycle ---

Hdf5File::Hdf5File(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Hdf5File::Hdf5File(Hdf5File&&) noexcept = default;
Hdf5File& Hdf5File::operator=(Hdf5File&&) noexcept = default;
Hdf5File::~Hdf5File() = default;

Hdf5File::Impl::~Impl() {
  const Lock lock;
  // A file that is discarded still has to be closed, and to close it the library writes its buffers, which fails on a
  // full disk and leaves the file open. Truncating the file first gives that room.
  if (own != nullptr && ::truncate(partial->partial_path().c_str(), 0) != 0) { errno = 0; }
  reader.reset();
}

Hdf5File Hdf5File::open(const std::string& path) {
  check_readable(path);
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  {
    const Lock lock;
    Handle checked = hdf5::open_checked(path);
    if (checked.valid()) {
      impl->reader = std::make_unique<hdf5::DirectReader>(path, std::move(checked), hdf5::Metadata::kAsWritten);
      return Hdf5File(std::move(impl));
    }
  }
  impl->reader = std::make_unique<hdf5::RemoteReader>(path);
  Hdf5File file(std::move(impl));
  if (file.has_attr("/", hdf5::kChecksumMark)) {
    throw IoError(cat("cannot read ", path, ": damaged: its checksums are missing; it was cut short, or changed by ",
                      "another program (then remove the attribute ", hdf5::kChecksumMark, " of its root)"));
  }
  note(cat(path, " has no checksums, being of another program or of an earlier version: damage to its data goes ",
           "unnoticed"));
  return file;
}

Hdf5File Hdf5File::create(const std::string& path) {
  const Lock lock;
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  impl->partial = std::make_unique<PartialFile>(path);
  const Handle access(H5Pcreate(H5P_FILE_ACCESS));
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(access, false, true);
#endif
  H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
  Handle file(H5Fcreate(impl->partial->partial_path().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access));
  if (!file.valid()) { throw IoError(cat("cannot write ", path, ": ", hdf5::last_reason())); }
  auto own = std::make_unique<hdf5::DirectReader>(path, std::move(file), hdf5::Metadata::kAsWritten);
  impl->own = own.get();
  impl->reader = std::move(own);
  return Hdf5File(std::move(impl));
}

void Hdf5File::commit() {
  const Lock lock;
  hdf5::DirectReader& own = writable();
  write_attr_int("/", hdf5::kChecksumMark, 1);
  if (H5Fflush(own.file(), H5F_SCOPE_GLOBAL) < 0) {
    throw IoError(cat("cannot write ", path(), ": ", hdf5::last_reason()));
  }
  // After a flush there is nothing left to write, so that closing does not fail for want of room.
  impl_->own = nullptr;
  if (!own.close()) { throw IoError(cat("cannot write ", path(), ": ", hdf5::last_reason())); }
  hdf5::append_trailer(impl_->partial->partial_path(), impl_->path);
  impl_->partial->commit();
}

hdf5::DirectReader& Hdf5File::writable() const {
  if (!impl_->partial) { throw IoError(cat(impl_->path, ": opened for reading, cannot be written")); }
  if (impl_->own == nullptr) { throw IoError(cat(impl_->path, ": already committed, cannot be written")); }
  return *impl_->own;
}

const std::string& Hdf5File::path() const { return impl_->path; }

// --- What is inside ---

bool Hdf5File::has(const std::string& name) const { return impl_->reader->kind_of(name) != ObjectKind::kNone; }
bool Hdf5File::is_group(const std::string& name) const { return impl_->reader->kind_of(name) == ObjectKind::kGroup; }
bool Hdf5File::is_dataset(const std::string& name) const {
  return impl_->reader->kind_of(name) == ObjectKind::kDataset;
}
std::vector<std::string> Hdf5File::list(const std::string& group) const { return impl_->reader->list(group); }

std::vector<std::string> Hdf5File::list_datasets(const std::string& group) const {
  std::vector<std::string> names = list(group);
  std::erase_if(names, [&](const std::string& name) { return !is_dataset(group + "/" + name); });
  return names;
}

std::vector<std::string> Hdf5File::list_groups(const std::string& group) const {
  std::vector<std::string> names = list(group);
  std::erase_if(names, [&](const std::string& name) { return !is_group(group + "/" + name); });
  return names;
}

std::vector<std::string> Hdf5File::walk(const std::string& group) const { return impl_->reader->walk(group); }
Hdf5DatasetInfo Hdf5File::info(const std::string& name) const { return impl_->reader->info(name); }

// --- Reading ---

Tensor Hdf5File::read(const std::string& name) const { return impl_->reader->read(name); }

Tensor Hdf5File::read(const std::string& name, DType expected) const {
  Tensor value = read(name);
  if (value.dtype() != expected) {
    throw IoError(cat(path(), ": dataset \"", name, "\" must be ", expected, ", it is ", value.dtype()));
  }
  return value;
}

Tensor Hdf5File::read_rows(const std::string& name, int64_t begin, int64_t end) const {
  return impl_->reader->read_rows(name, begin, end);
}

std::vector<std::string> Hdf5File::read_strings(const std::string& name) const {
  return impl_->reader->read_strings(name);
}

bool Hdf5File::has_attr(const std::string& object, const std::string& name) const {
  return impl_->reader->has_attr(object, name);
}
std::vector<std::string> Hdf5File::list_attrs(const std::string& object) const {
  return impl_->reader->list_attrs(object);
}
std::string Hdf5File::read_attr_string(const std::string& object, const std::string& name) const {
  return impl_->reader->read_attr_string(object, name);
}
int64_t Hdf5File::read_attr_int(const std::string& object, const std::string& name) const {
  return impl_->reader->read_attr_int(object, name);
}
double Hdf5File::read_attr_double(const std::string& object, const std::string& name) const {
  return impl_->reader->read_attr_double(object, name);
}

}  // namespace terrace
