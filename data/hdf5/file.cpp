// Lifecycle, listing and reading. Writing is in write.cpp, attributes in attributes.cpp.
#include "data/hdf5/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "data/hdf5/checked_driver.h"
#include "data/hdf5/handle.h"
#include "data/hdf5/trailer.h"
#include "tensor/base/error.h"
#include "tensor/base/names.h"

namespace terrace {

using hdf5::Handle;
using hdf5::Lock;

namespace {

std::string without_slashes(const std::string& name) {
  const size_t begin = name.find_first_not_of('/');
  if (begin == std::string::npos) { return ""; }
  return name.substr(begin, name.find_last_not_of('/') - begin + 1);
}

void check_readable(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) { throw IoError(cat("cannot read ", path, ": ", std::strerror(errno))); }
  if (S_ISDIR(status.st_mode)) { throw IoError(cat("cannot read ", path, ": it is a folder, not an HDF5 file")); }
  if (::access(path.c_str(), R_OK) != 0) { throw IoError(cat("cannot read ", path, ": ", std::strerror(errno))); }
  if (!S_ISREG(status.st_mode)) { throw IoError(cat("cannot read ", path, ": it is not a regular file")); }
  if (status.st_size == 0) { throw IoError(cat("cannot read ", path, ": the file is empty")); }
}

/// A file without checksums.
Handle open_unchecked(const std::string& path) {
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

bool is_bool_enum(hid_t type) {
  if (H5Tget_nmembers(type) != 2) { return false; }
  char* name = H5Tget_member_name(type, 0);
  const bool found = name != nullptr && std::string(name) == "FALSE";
  H5free_memory(name);
  return found;
}

bool marked_bf16(hid_t dataset, const std::string& path) {
  if (!hdf5::has_attribute(dataset, "dtype", path)) { return false; }
  const Handle attribute(H5Aopen(dataset, "dtype", H5P_DEFAULT));
  const Handle type(H5Aget_type(attribute));
  if (H5Tget_class(type) != H5T_STRING) { return false; }
  const auto values = hdf5::read_strings(attribute, type, true, path, "attribute \"dtype\"");
  return values.size() == 1 && values[0] == "bf16";
}

DType integer_dtype(hid_t dataset, hid_t type, const std::string& path) {
  const size_t size = H5Tget_size(type);
  const bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
  if (size == 1 && !is_signed) { return DType::kU8; }
  if (size == 2 && !is_signed && marked_bf16(dataset, path)) { return DType::kBF16; }
  return size < 4 || (size == 4 && is_signed) ? DType::kI32 : DType::kI64;
}

herr_t collect_link(hid_t, const char* name, const H5L_info_t*, void* out) {
  static_cast<std::vector<std::string>*>(out)->emplace_back(name);
  return 0;
}

herr_t collect_dataset(hid_t, const char* name, const H5O_info_t* object, void* out) {
  if (object->type == H5O_TYPE_DATASET) { static_cast<std::vector<std::string>*>(out)->emplace_back(name); }
  return 0;
}

/// Whether the link `part`, a path from the root, is there and leads to an object. What lies below something that is no
/// group is not there, for which the library has no answer but the same failure as for a damaged file.
bool has_link(hid_t file, const std::string& path, const std::string& part) {
  const htri_t link = H5Lexists(file, part.c_str(), H5P_DEFAULT);
  const htri_t object = link > 0 ? H5Oexists_by_name(file, part.c_str(), H5P_DEFAULT) : link;
  if (object >= 0) { return object > 0; }
  const std::string reason = hdf5::last_reason();
  const size_t end = part.rfind('/');
  const Handle parent(H5Oopen(file, end == std::string::npos ? "/" : part.substr(0, end).c_str(), H5P_DEFAULT));
  if (parent.valid() && H5Iget_type(parent) != H5I_GROUP) { return false; }
  throw IoError(cat(path, ": cannot look for \"", part, "\": ", reason));
}

bool exists(hid_t file, const std::string& path, const std::string& name) {
  // H5Lexists fails, rather than answers no, where a group on the way to the last name is missing.
  const std::string inner = without_slashes(name);
  if (inner.empty()) { return true; }
  for (size_t end = inner.find('/');; end = inner.find('/', end + 1)) {
    if (!has_link(file, path, inner.substr(0, end))) { return false; }
    if (end == std::string::npos) { return true; }
  }
}

H5I_type_t object_type(hid_t file, const std::string& path, const std::string& name) {
  if (!exists(file, path, name)) { return H5I_BADID; }
  const Handle object(H5Oopen(file, name.empty() ? "/" : name.c_str(), H5P_DEFAULT));
  if (!object.valid()) { hdf5::fail(path, cat("cannot open \"", name, "\"")); }
  return H5Iget_type(object);
}

}  // namespace

// --- Lifecycle ---

Hdf5File::Hdf5File(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Hdf5File::Hdf5File(Hdf5File&&) noexcept = default;
Hdf5File& Hdf5File::operator=(Hdf5File&&) noexcept = default;
Hdf5File::~Hdf5File() = default;

Hdf5File::Impl::~Impl() {
  const Lock lock;
  // A file that is discarded still has to be closed, and to close it the library writes its buffers, which fails on a
  // full disk and leaves the file open. Truncating the file first gives that room.
  if (partial && file.valid() && ::truncate(partial->partial_path().c_str(), 0) != 0) { errno = 0; }
  open_datasets.clear();
  file.reset();
}

Hdf5File Hdf5File::open(const std::string& path) {
  const Lock lock;
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  check_readable(path);
  impl->file = hdf5::open_checked(path);
  const bool checked = impl->file.valid();
  if (!checked) { impl->file = open_unchecked(path); }
  Hdf5File file(std::move(impl));
  if (!checked && file.has_attr("/", hdf5::kChecksumMark)) {
    throw IoError(cat("cannot read ", path, ": damaged: its checksums are missing; it was cut short, or changed by ",
                      "another program (then remove the attribute ", hdf5::kChecksumMark, " of its root)"));
  }
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
  impl->file = Handle(H5Fcreate(impl->partial->partial_path().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access));
  if (!impl->file.valid()) { throw IoError(cat("cannot write ", path, ": ", hdf5::last_reason())); }
  return Hdf5File(std::move(impl));
}

void Hdf5File::Impl::close() {
  open_datasets.clear();
  if (H5Fflush(file, H5F_SCOPE_GLOBAL) < 0) { throw IoError(cat("cannot write ", path, ": ", hdf5::last_reason())); }
  // After a flush there is nothing left to write, so that closing cannot fail for want of room.
  file.reset();
}

void Hdf5File::commit() {
  const Lock lock;
  Impl& impl = writable();
  write_attr_int("/", hdf5::kChecksumMark, 1);
  impl.close();
  hdf5::append_trailer(impl.partial->partial_path(), impl.path);
  impl.partial->commit();
}

Hdf5File::Impl& Hdf5File::writable() const {
  if (!impl_->partial) { throw IoError(cat(impl_->path, ": opened for reading, cannot be written")); }
  if (!impl_->file.valid()) { throw IoError(cat(impl_->path, ": already committed, cannot be written")); }
  return *impl_;
}

const std::string& Hdf5File::path() const { return impl_->path; }

// --- What is inside ---

bool Hdf5File::has(const std::string& name) const {
  const Lock lock;
  return exists(impl_->file, impl_->path, name);
}

bool Hdf5File::is_group(const std::string& name) const {
  const Lock lock;
  return object_type(impl_->file, impl_->path, name) == H5I_GROUP;
}

bool Hdf5File::is_dataset(const std::string& name) const {
  const Lock lock;
  return object_type(impl_->file, impl_->path, name) == H5I_DATASET;
}

std::vector<std::string> Hdf5File::list(const std::string& group) const {
  const Lock lock;
  if (!is_group(group)) { throw IoError(cat(impl_->path, ": no group \"", group, "\"")); }
  const Handle id(H5Gopen2(impl_->file, group.empty() ? "/" : group.c_str(), H5P_DEFAULT));
  std::vector<std::string> names;
  if (!id.valid() || H5Literate(id, H5_INDEX_NAME, H5_ITER_INC, nullptr, &collect_link, &names) < 0) {
    hdf5::fail(impl_->path, cat("cannot list group \"", group, "\""));
  }
  std::sort(names.begin(), names.end());
  return names;
}

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

std::vector<std::string> Hdf5File::walk(const std::string& group) const {
  const Lock lock;
  if (!is_group(group)) { throw IoError(cat(impl_->path, ": no group \"", group, "\"")); }
  const Handle id(H5Gopen2(impl_->file, group.empty() ? "/" : group.c_str(), H5P_DEFAULT));
  std::vector<std::string> names;
  if (!id.valid() || H5Ovisit2(id, H5_INDEX_NAME, H5_ITER_INC, &collect_dataset, &names, H5O_INFO_BASIC) < 0) {
    hdf5::fail(impl_->path, cat("cannot list group \"", group, "\""));
  }
  std::sort(names.begin(), names.end());
  return names;
}

Handle Hdf5File::Impl::open_object(const std::string& name) const {
  if (!exists(file, path, name)) { throw IoError(cat(path, ": no group or dataset \"", name, "\"")); }
  Handle object(H5Oopen(file, name.empty() ? "/" : name.c_str(), H5P_DEFAULT));
  if (!object.valid()) { hdf5::fail(path, cat("cannot open \"", name, "\"")); }
  return object;
}

Handle Hdf5File::Impl::open_dataset(const std::string& name) const {
  const H5I_type_t type = object_type(file, path, name);
  if (type == H5I_GROUP) { throw IoError(cat(path, ": \"", name, "\" is a group, not a dataset")); }
  if (type != H5I_DATASET) {
    std::vector<std::string> names;
    H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_INC, &collect_dataset, &names, H5O_INFO_BASIC);
    throw IoError(cat(path, ": no dataset \"", name, "\"; ", nearest_names(names, without_slashes(name), "datasets")));
  }
  Handle dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT));
  if (!dataset.valid()) { hdf5::fail(path, cat("cannot open dataset \"", name, "\"")); }
  return dataset;
}

hid_t Hdf5File::Impl::keep_dataset(const std::string& name) {
  auto found = open_datasets.find(name);
  if (found == open_datasets.end()) { found = open_datasets.emplace(name, open_dataset(name)).first; }
  return found->second;
}

Hdf5DatasetInfo Hdf5File::Impl::info(hid_t dataset, const std::string& name) const {
  Hdf5DatasetInfo info;
  const Handle space(H5Dget_space(dataset));
  const int ndim = H5Sget_simple_extent_ndims(space);
  if (ndim < 0 || H5Sget_simple_extent_type(space) == H5S_NULL) {
    throw IoError(cat(path, ": dataset \"", name, "\" has no shape"));
  }
  std::vector<hsize_t> dims(static_cast<size_t>(ndim));
  H5Sget_simple_extent_dims(space, dims.data(), nullptr);
  info.shape = Shape(dims.begin(), dims.end());

  const Handle type(H5Dget_type(dataset));
  switch (H5Tget_class(type)) {
    case H5T_STRING:
      info.is_string = true;
      return info;
    case H5T_FLOAT: {
      const size_t size = H5Tget_size(type);
      info.dtype = size == 2 ? DType::kF16 : size == 4 ? DType::kF32 : DType::kF64;
      return info;
    }
    case H5T_INTEGER:
      info.dtype = integer_dtype(dataset, type, path);
      return info;
    case H5T_ENUM:
      if (is_bool_enum(type)) {
        info.dtype = DType::kBool;
        return info;
      }
      [[fallthrough]];
    default:
      throw IoError(cat(path, ": dataset \"", name, "\" is of a type that is neither numbers nor strings"));
  }
}

Hdf5DatasetInfo Hdf5File::info(const std::string& name) const {
  const Lock lock;
  return impl_->info(impl_->open_dataset(name), name);
}

// --- Reading ---

Tensor Hdf5File::Impl::read(hid_t dataset, const std::string& name, int64_t begin, int64_t end) const {
  const Hdf5DatasetInfo what = info(dataset, name);
  if (what.is_string) { throw IoError(cat(path, ": dataset \"", name, "\" holds strings, not numbers")); }
  Shape shape = what.shape;
  const bool rows = end >= 0;
  if (rows) {
    if (shape.empty() || begin < 0 || begin > end || end > shape[0]) {
      throw IndexError(cat(path, ": rows [", begin, ", ", end, ") of dataset \"", name, "\" with shape ", shape));
    }
    shape[0] = end - begin;
  }
  Tensor out = Tensor::empty(shape, what.dtype);
  if (out.numel() == 0) { return out; }

  Handle memory_space, file_space;
  if (rows) {
    std::vector<hsize_t> start(static_cast<size_t>(shape.size()), 0), count(shape.begin(), shape.end());
    start[0] = static_cast<hsize_t>(begin);
    file_space = Handle(H5Dget_space(dataset));
    H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr);
    memory_space = Handle(H5Screate_simple(static_cast<int>(shape.size()), count.data(), nullptr));
  }
  const Handle type = hdf5::type_of(what.dtype);
  const herr_t status = H5Dread(dataset, type, rows ? memory_space.get() : H5S_ALL, rows ? file_space.get() : H5S_ALL,
                                H5P_DEFAULT, out.raw_data());
  if (status < 0) { hdf5::fail(path, cat("cannot read dataset \"", name, "\"")); }
  return out;
}

Tensor Hdf5File::read(const std::string& name) const {
  const Lock lock;
  return impl_->read(impl_->open_dataset(name), name, 0, -1);
}

Tensor Hdf5File::read(const std::string& name, DType expected) const {
  Tensor value = read(name);
  if (value.dtype() != expected) {
    throw IoError(cat(path(), ": dataset \"", name, "\" must be ", expected, ", it is ", value.dtype()));
  }
  return value;
}

Tensor Hdf5File::read_rows(const std::string& name, int64_t begin, int64_t end) const {
  const Lock lock;
  if (end < 0) { throw IndexError(cat(path(), ": rows [", begin, ", ", end, ") of dataset \"", name, "\"")); }
  return impl_->read(impl_->keep_dataset(name), name, begin, end);
}

std::vector<std::string> Hdf5File::read_strings(const std::string& name) const {
  const Lock lock;
  const Handle dataset = impl_->open_dataset(name);
  const Handle type(H5Dget_type(dataset));
  if (H5Tget_class(type) != H5T_STRING) {
    throw IoError(cat(path(), ": dataset \"", name, "\" holds numbers, not strings"));
  }
  return hdf5::read_strings(dataset, type, false, path(), cat("dataset \"", name, "\""));
}

}  // namespace terrace
