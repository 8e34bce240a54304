// What the sources of Hdf5File share: the lock, owned handles, and errors with the library's own reason.
#pragma once

#define H5_USE_110_API  // names without a number mean those of HDF5 1.10 in newer versions too
#include <hdf5.h>

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tensor/base/dtype.h"
#include "tensor/base/shape.h"

namespace terrace::hdf5 {

/// Held during every use of the library. Recursive, because the calls build on each other. Silences the library's
/// printing of its error stack, which is a setting of the thread that calls.
class Lock {
 public:
  Lock();

 private:
  std::lock_guard<std::recursive_mutex> guard_;
};

/// To be called in the child of a fork that was made under a Lock: makes the child's copy of the mutex anew, since no
/// thread of the child holds it.
void forget_lock_of_parent();

/// An identifier of the library that is closed with its owner.
class Handle {
 public:
  Handle() = default;
  explicit Handle(hid_t id) : id_(id) {}
  ~Handle() { reset(); }
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      reset();
      id_ = std::exchange(other.id_, H5I_INVALID_HID);
    }
    return *this;
  }
  hid_t get() const { return id_; }
  operator hid_t() const { return id_; }
  bool valid() const { return id_ >= 0; }
  /// False, with the reason on the error stack, where the library could not close it: a file may lack a part then.
  bool reset();

 private:
  hid_t id_ = H5I_INVALID_HID;
};

/// Names that the library hands to a callback one by one. The library is C, and no exception may pass through its
/// functions: the callback ends the iteration in place of it, and take() throws when the library has returned.
class ListedNames {
 public:
  /// What the callback returns.
  herr_t add(const char* name) noexcept;
  /// In their order. Throws std::bad_alloc where there was no room for one of them.
  std::vector<std::string> take();

 private:
  std::vector<std::string> names_;
  bool out_of_memory_ = false;
};

/// The innermost reason on the library's error stack: the system's message where it has one.
std::string last_reason();
/// IoError "FILE: WHAT: reason".
[[noreturn]] void fail(const std::string& file, const std::string& what);

/// Whether `object` has the attribute. A damaged file, which cannot tell, is an IoError.
bool has_attribute(hid_t object, const std::string& name, const std::string& file);

/// The library's type for a dtype, in memory and in the file (bool is an enumeration FALSE, TRUE of i8, as h5py's).
Handle type_of(DType dtype);
/// A type of strings: UTF-8 of variable length.
Handle string_type();
/// The strings of `id`, an attribute or a dataset.
std::vector<std::string> read_strings(hid_t id, hid_t type, bool attribute, const std::string& file,
                                      const std::string& what);

}  // namespace terrace::hdf5
