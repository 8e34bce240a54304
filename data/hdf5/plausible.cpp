#include "data/hdf5/plausible.h"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "tensor/base/error.h"

namespace terrace::hdf5 {
namespace {

void check_contiguous(hid_t dataset, int64_t file_bytes, const std::string& file, const std::string& what) {
  const haddr_t offset = H5Dget_offset(dataset);
  if (offset == HADDR_UNDEF) { return; }  // never written: the fill value
  const hsize_t stored = H5Dget_storage_size(dataset), limit = static_cast<hsize_t>(file_bytes);
  if (offset > limit || stored > limit - offset) {
    throw IoError(cat("cannot read ", file, ": damaged HDF5 file: ", what, " has ", stored, " bytes from ", offset,
                      " on, the file has ", file_bytes));
  }
}

void check_filters(hid_t properties, const std::string& file, const std::string& what) {
  for (int i = 0; i < H5Pget_nfilters(properties); ++i) {
    unsigned flags = 0, config = 0;
    size_t values = 0;
    std::array<char, 64> name{};
    const H5Z_filter_t filter = H5Pget_filter2(properties, static_cast<unsigned>(i), &flags, &values, nullptr,
                                               name.size(), name.data(), &config);
    name.back() = '\0';
    if (filter < 0) { fail(file, "cannot read " + what); }
    if (H5Zfilter_avail(filter) > 0) { continue; }
    throw IoError(cat(file, ": ", what, " is packed by filter ", filter, name[0] != '\0' ? " (" : "", name.data(),
                      name[0] != '\0' ? ")" : "",
                      ", which the HDF5 library here does not have; write it with gzip, or ",
                      "name the folder of the filter's plugin in HDF5_PLUGIN_PATH"));
  }
}

}  // namespace

int64_t bytes_in_memory(const Shape& shape, int64_t size, const std::string& file, const std::string& what) {
  const int64_t memory = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE);
  if (std::any_of(shape.begin(), shape.end(), [](int64_t extent) { return extent == 0; })) { return 0; }
  int64_t bytes = size;
  for (const int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(bytes, extent, &bytes) || bytes > memory) {
      throw IoError(cat(file, ": ", what, " of shape ", shape, ", with ", size,
                        " bytes for each element, does not fit ", "into this machine's memory of ", memory, " bytes"));
    }
  }
  return bytes;
}

void check_storage(hid_t dataset, int64_t file_bytes, const std::string& file, const std::string& what) {
  const Handle properties(H5Dget_create_plist(dataset));
  if (!properties.valid()) { fail(file, "cannot read " + what); }
  if (H5Pget_external_count(properties) > 0) {
    std::array<char, 256> name{};
    H5Pget_external(properties, 0, name.size() - 1, name.data(), nullptr, nullptr);
    throw IoError(cat(file, ": ", what, " has its data in another file (\"", name.data(),
                      "\"), which is not read; copy them into this one"));
  }
  const H5D_layout_t layout = H5Pget_layout(properties);
  if (layout == H5D_VIRTUAL) {
    throw IoError(
        cat(file, ": ", what, " is a view of other datasets (virtual), which are not read; copy them into it"));
  }
  if (layout == H5D_CONTIGUOUS) { check_contiguous(dataset, file_bytes, file, what); }
  check_filters(properties, file, what);
}

}  // namespace terrace::hdf5
