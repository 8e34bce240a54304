#include "data/hdf5/direct.h"
#include "data/hdf5/file_impl.h"
#include "tensor/base/error.h"

namespace terrace {

using hdf5::Handle;
using hdf5::Lock;

namespace {

std::string describe(const std::string& object, const std::string& name) {
  return cat("attribute \"", name, "\" of \"", object.empty() ? "/" : object, "\"");
}

Handle open_attribute(hid_t object, const std::string& file, const std::string& what, const std::string& name) {
  if (!hdf5::has_attribute(object, name, file)) { throw IoError(cat(file, ": no ", what)); }
  Handle attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT));
  if (!attribute.valid()) { hdf5::fail(file, "cannot read " + what); }
  return attribute;
}

template <class T>
T read_number(hid_t object, const std::string& file, const std::string& what, const std::string& name, hid_t memory,
              bool reals_allowed) {
  const Handle attribute = open_attribute(object, file, what, name);
  const Handle type(H5Aget_type(attribute));
  const Handle space(H5Aget_space(attribute));
  const H5T_class_t kind = H5Tget_class(type);
  const bool fits = kind == H5T_INTEGER || (reals_allowed && kind == H5T_FLOAT);
  if (!fits || H5Sget_simple_extent_npoints(space) != 1) {
    throw IoError(cat(file, ": ", what, " must be one ", reals_allowed ? "number" : "integer"));
  }
  T value{};
  if (H5Aread(attribute, memory, &value) < 0) { hdf5::fail(file, "cannot read " + what); }
  return value;
}

herr_t collect_name(hid_t, const char* name, const H5A_info_t*, void* out) {
  return static_cast<hdf5::ListedNames*>(out)->add(name);
}

void write_attribute(hid_t object, const std::string& file, const std::string& name, hid_t type, const void* value) {
  if (hdf5::has_attribute(object, name, file)) { H5Adelete(object, name.c_str()); }
  const Handle space(H5Screate(H5S_SCALAR));
  const Handle attribute(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT));
  if (!attribute.valid() || H5Awrite(attribute, type, value) < 0) {
    throw IoError(cat("cannot write ", file, ": attribute \"", name, "\": ", hdf5::last_reason()));
  }
}

}  // namespace

namespace hdf5 {

bool DirectReader::has_attr(const std::string& object, const std::string& name) {
  const Lock lock;
  return has_attribute(open_object(object), name, path_);
}

std::vector<std::string> DirectReader::list_attrs(const std::string& object) {
  const Lock lock;
  ListedNames names;
  const herr_t status = H5Aiterate2(open_object(object), H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, &collect_name, &names);
  std::vector<std::string> found = names.take();
  if (status < 0) { fail(path_, cat("cannot list the attributes of \"", object, "\"")); }
  return found;
}

std::string DirectReader::read_attr_string(const std::string& object, const std::string& name) {
  const Lock lock;
  const std::string what = describe(object, name);
  const Handle owner = open_object(object);
  const Handle attribute = open_attribute(owner, path_, what, name);
  const Handle type(H5Aget_type(attribute));
  if (H5Tget_class(type) != H5T_STRING) { throw IoError(cat(path_, ": ", what, " must be a string")); }
  const auto values = hdf5::read_strings(attribute, type, true, path_, what);
  if (values.size() != 1) { throw IoError(cat(path_, ": ", what, " must be one string, it holds ", values.size())); }
  return values[0];
}

int64_t DirectReader::read_attr_int(const std::string& object, const std::string& name) {
  const Lock lock;
  return read_number<int64_t>(open_object(object), path_, describe(object, name), name, H5T_NATIVE_INT64, false);
}

double DirectReader::read_attr_double(const std::string& object, const std::string& name) {
  const Lock lock;
  return read_number<double>(open_object(object), path_, describe(object, name), name, H5T_NATIVE_DOUBLE, true);
}

}  // namespace hdf5

void Hdf5File::write_attr_string(const std::string& object, const std::string& name, const std::string& value) {
  const Lock lock;
  const hdf5::DirectReader& own = writable();
  const char* pointer = value.c_str();
  write_attribute(own.open_object(object), path(), name, hdf5::string_type(), &pointer);
}

void Hdf5File::write_attr_int(const std::string& object, const std::string& name, int64_t value) {
  const Lock lock;
  write_attribute(writable().open_object(object), path(), name, H5T_NATIVE_INT64, &value);
}

void Hdf5File::write_attr_double(const std::string& object, const std::string& name, double value) {
  const Lock lock;
  write_attribute(writable().open_object(object), path(), name, H5T_NATIVE_DOUBLE, &value);
}

}  // namespace terrace
