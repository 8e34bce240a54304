#include "data/hdf5/handle.h"

#include <algorithm>
#include <new>
#include <string_view>
#include <vector>

#include "data/hdf5/plausible.h"
#include "tensor/base/error.h"

namespace terrace::hdf5 {
namespace {

// A function's static would be made under a lock of its own, which a fork might find taken.
std::recursive_mutex library_mutex;

struct Reason {
  std::string text;
  bool out_of_memory = false;
};

/// Keeps the first message met when walking from the innermost call outwards, and any message of the system.
herr_t collect(unsigned depth, const H5E_error2_t* error, void* out) noexcept {
  auto& reason = *static_cast<Reason*>(out);
  const std::string_view text = error->desc != nullptr ? error->desc : "", mark = "error message = '";
  try {
    if (const size_t at = text.find(mark); at != std::string_view::npos) {
      const size_t begin = at + mark.size();
      reason.text = text.substr(begin, text.find('\'', begin) - begin);
      return 1;
    }
    if (depth == 0) { reason.text = text; }
    return 0;
  } catch (const std::exception&) {
    reason.out_of_memory = true;
    return -1;
  }
}

}  // namespace

void forget_lock_of_parent() { new (&library_mutex) std::recursive_mutex; }

Lock::Lock() : guard_(library_mutex) {
  // The library would clean up when the process ends, and crash there on a file that could not be closed because the
  // disk is full. All files have owners here.
  static const bool no_clean_up = H5dont_atexit() >= 0;
  static_cast<void>(no_clean_up);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

bool Handle::reset() {
  if (id_ < 0) { return true; }
  const Lock lock;
  const hid_t id = std::exchange(id_, H5I_INVALID_HID);
  switch (H5Iget_type(id)) {
    case H5I_FILE:
      return H5Fclose(id) >= 0;
    case H5I_GROUP:
      return H5Gclose(id) >= 0;
    case H5I_DATATYPE:
      return H5Tclose(id) >= 0;
    case H5I_DATASPACE:
      return H5Sclose(id) >= 0;
    case H5I_DATASET:
      return H5Dclose(id) >= 0;
    case H5I_ATTR:
      return H5Aclose(id) >= 0;
    case H5I_GENPROP_LST:
      return H5Pclose(id) >= 0;
    default:
      return true;  // closed with its file
  }
}

herr_t ListedNames::add(const char* name) noexcept {
  try {
    names_.emplace_back(name);
    return 0;
  } catch (const std::exception&) {
    out_of_memory_ = true;
    return -1;
  }
}

std::vector<std::string> ListedNames::take() {
  if (out_of_memory_) { throw std::bad_alloc(); }
  std::sort(names_.begin(), names_.end());
  return std::move(names_);
}

std::string last_reason() {
  Reason reason;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, &collect, &reason);
  if (reason.out_of_memory) { throw std::bad_alloc(); }
  return reason.text.empty() ? "unknown HDF5 error" : reason.text;
}

void fail(const std::string& file, const std::string& what) {
  throw IoError(cat(file, ": ", what, ": ", last_reason()));
}

bool has_attribute(hid_t object, const std::string& name, const std::string& file) {
  const htri_t found = H5Aexists(object, name.c_str());
  if (found < 0) { fail(file, cat("cannot look for attribute \"", name, "\"")); }
  return found > 0;
}

Handle type_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return Handle(H5Tcopy(H5T_NATIVE_FLOAT));
    case DType::kF64:
      return Handle(H5Tcopy(H5T_NATIVE_DOUBLE));
    case DType::kI64:
      return Handle(H5Tcopy(H5T_NATIVE_INT64));
    case DType::kI32:
      return Handle(H5Tcopy(H5T_NATIVE_INT32));
    case DType::kU8:
      return Handle(H5Tcopy(H5T_NATIVE_UINT8));
    case DType::kBF16:
      return Handle(H5Tcopy(H5T_NATIVE_UINT16));
    case DType::kF16: {
      // The library has no name for binary16: sign 15, exponent 10..14 with bias 15, mantissa 0..9.
      Handle type(H5Tcopy(H5T_IEEE_F32LE));
      H5Tset_fields(type, 15, 10, 5, 0, 10);
      H5Tset_size(type, 2);
      H5Tset_ebias(type, 15);
      return type;
    }
    case DType::kBool: {
      Handle type(H5Tenum_create(H5T_NATIVE_INT8));
      int8_t value = 0;
      H5Tenum_insert(type, "FALSE", &value);
      value = 1;
      H5Tenum_insert(type, "TRUE", &value);
      return type;
    }
  }
  throw DTypeError("hdf5: corrupt dtype");
}

Handle string_type() {
  Handle type(H5Tcopy(H5T_C_S1));
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

namespace {

std::vector<std::string> read_fixed(hid_t id, hid_t type, bool attribute, size_t count, const std::string& file,
                                    const std::string& what) {
  const size_t length = H5Tget_size(type);
  std::vector<char> bytes(count * length + 1);
  const herr_t status =
      attribute ? H5Aread(id, type, bytes.data()) : H5Dread(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data());
  if (status < 0) { fail(file, "cannot read " + what); }
  std::vector<std::string> values;
  for (size_t i = 0; i < count; ++i) {
    std::string value(bytes.data() + i * length, length);
    if (H5Tget_strpad(type) == H5T_STR_SPACEPAD) {
      value.erase(value.find_last_not_of(' ') + 1);
    } else if (const size_t end = value.find('\0'); end != std::string::npos) {
      value.erase(end);
    }
    values.push_back(std::move(value));
  }
  return values;
}

}  // namespace

std::vector<std::string> read_strings(hid_t id, hid_t type, bool attribute, const std::string& file,
                                      const std::string& what) {
  const Handle space(attribute ? H5Aget_space(id) : H5Dget_space(id));
  const hssize_t extent = H5Sget_simple_extent_npoints(space);
  if (extent < 0) { fail(file, "cannot read " + what); }
  const size_t count = static_cast<size_t>(extent);
  if (count == 0) { return {}; }
  const size_t size = std::max(H5Tget_size(type), sizeof(std::string));
  bytes_in_memory({extent}, static_cast<int64_t>(size), file, what);
  if (H5Tis_variable_str(type) <= 0) { return read_fixed(id, type, attribute, count, file, what); }

  Handle memory = string_type();
  H5Tset_cset(memory, H5Tget_cset(type));
  std::vector<char*> pointers(count, nullptr);
  const herr_t status = attribute ? H5Aread(id, memory, pointers.data())
                                  : H5Dread(id, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data());
  if (status < 0) { fail(file, "cannot read " + what); }
  std::vector<std::string> values;
  for (const char* pointer : pointers) { values.emplace_back(pointer != nullptr ? pointer : ""); }
  H5Dvlen_reclaim(memory, space, H5P_DEFAULT, pointers.data());
  return values;
}

}  // namespace terrace::hdf5
