#include "tests/reliability/foreign_files.h"

#define H5_USE_110_API  // names without a number mean those of HDF5 1.10 in newer versions too
#include <hdf5.h>

#include <algorithm>

#include "tensor/base/error.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

/// Closes any identifier of the library.
class Id {
 public:
  explicit Id(hid_t id) : id_(id) {
    if (id < 0) { throw Error("torture: HDF5 fails on a file of the fixture"); }
  }
  ~Id() { H5Idec_ref(id_); }
  Id(const Id&) = delete;
  Id& operator=(const Id&) = delete;
  operator hid_t() const { return id_; }

 private:
  hid_t id_;
};

bool is_text(hid_t type) { return H5Tget_class(type) == H5T_STRING; }

/// Texts of an attribute or a dataset, whatever their form, read by `read` (type of memory, buffer).
template <class Read>
std::vector<std::string> texts_of(hid_t type, hid_t space, const Read& read) {
  const size_t count = static_cast<size_t>(H5Sget_simple_extent_npoints(space));
  std::vector<std::string> result;
  if (H5Tis_variable_str(type) > 0) {
    std::vector<char*> texts(count, nullptr);
    read(type, texts.data());
    for (char* text : texts) {
      result.emplace_back(text == nullptr ? "" : text);
      H5free_memory(text);
    }
    return result;
  }
  const size_t size = H5Tget_size(type);
  std::string bytes(size * count, '\0');
  read(type, bytes.data());
  for (size_t i = 0; i < count; ++i) { result.emplace_back(bytes.substr(i * size, size).c_str()); }
  return result;
}

std::vector<const char*> pointers(const std::vector<std::string>& texts) {
  std::vector<const char*> result;
  for (const std::string& text : texts) { result.push_back(text.c_str()); }
  return result;
}

hid_t variable_text() {
  const hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

herr_t copy_attribute(hid_t from, const char* name, const H5A_info_t*, void* to) {
  if (std::string(name) == "terrace_checksums") { return 0; }  // which says that the file has them
  const Id attribute(H5Aopen(from, name, H5P_DEFAULT)), type(H5Aget_type(attribute)), space(H5Aget_space(attribute));
  if (is_text(type)) {
    const auto texts = texts_of(type, space, [&](hid_t t, void* buffer) { H5Aread(attribute, t, buffer); });
    const Id text(variable_text());
    const Id copy(H5Acreate2(*static_cast<hid_t*>(to), name, text, space, H5P_DEFAULT, H5P_DEFAULT));
    return H5Awrite(copy, text, pointers(texts).data());
  }
  std::vector<char> bytes(H5Tget_size(type) * static_cast<size_t>(H5Sget_simple_extent_npoints(space)));
  const Id copy(H5Acreate2(*static_cast<hid_t*>(to), name, type, space, H5P_DEFAULT, H5P_DEFAULT));
  return H5Aread(attribute, type, bytes.data()) < 0 ? -1 : H5Awrite(copy, type, bytes.data());
}

bool copy_texts(hid_t from, const char* name, hid_t to) {
  H5O_info_t info;
  if (H5Oget_info_by_name(from, name, &info, H5P_DEFAULT) < 0 || info.type != H5O_TYPE_DATASET) { return false; }
  const Id dataset(H5Dopen2(from, name, H5P_DEFAULT)), type(H5Dget_type(dataset)), space(H5Dget_space(dataset));
  if (!is_text(type)) { return false; }
  const auto texts =
      texts_of(type, space, [&](hid_t t, void* buffer) { H5Dread(dataset, t, H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer); });
  const Id text(variable_text());
  const Id copy(H5Dcreate2(to, name, text, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  if (!texts.empty()) { H5Dwrite(copy, text, H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers(texts).data()); }
  return true;
}

herr_t copy_member(hid_t from, const char* name, const H5L_info_t*, void* to) {
  const hid_t target = *static_cast<hid_t*>(to);
  return copy_texts(from, name, target) ? 0 : H5Ocopy(from, name, target, name, H5P_DEFAULT, H5P_DEFAULT);
}

using Ranges = std::vector<std::pair<int64_t, int64_t>>;

herr_t add_ranges(hid_t file, const char* name, const H5O_info_t* info, void* to) {
  if (info->type != H5O_TYPE_DATASET) { return 0; }
  Ranges& ranges = *static_cast<Ranges*>(to);
  const Id dataset(H5Dopen2(file, name, H5P_DEFAULT)), type(H5Dget_type(dataset)), plan(H5Dget_create_plist(dataset));
  if (is_text(type)) { return 0; }
  const auto add = [&](haddr_t address, hsize_t size) {
    if (address != HADDR_UNDEF && size > 0) {
      ranges.emplace_back(static_cast<int64_t>(address), static_cast<int64_t>(address + size));
    }
  };
  if (H5Pget_layout(plan) == H5D_CONTIGUOUS) { add(H5Dget_offset(dataset), H5Dget_storage_size(dataset)); }
  if (H5Pget_layout(plan) == H5D_CHUNKED) {
    const Id space(H5Dget_space(dataset));
    hsize_t chunks = 0;
    H5Dget_num_chunks(dataset, space, &chunks);
    for (hsize_t i = 0; i < chunks; ++i) {
      hsize_t offset[H5S_MAX_RANK], size = 0;
      unsigned mask = 0;
      haddr_t address = HADDR_UNDEF;
      H5Dget_chunk_info(dataset, space, i, offset, &mask, &address, &size);
      add(address, size);
    }
  }
  return 0;
}

}  // namespace

void write_foreign_copy(const fs::path& from, const fs::path& to, Hdf5Format format) {
  const Id access(H5Pcreate(H5P_FILE_ACCESS));
  if (format == Hdf5Format::kLatest) { H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST); }
  const Id source(H5Fopen(from.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT));
  const Id target(H5Fcreate(to.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access));
  const Id source_root(H5Gopen2(source, "/", H5P_DEFAULT)), target_root(H5Gopen2(target, "/", H5P_DEFAULT));
  hid_t into = target_root;
  if (H5Literate(source_root, H5_INDEX_NAME, H5_ITER_INC, nullptr, copy_member, &into) < 0 ||
      H5Aiterate2(source_root, H5_INDEX_NAME, H5_ITER_INC, nullptr, copy_attribute, &into) < 0) {
    throw Error(cat("torture: cannot copy ", from.string()));
  }
}

Ranges ranges_of_values(const fs::path& path) {
  const Id file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT));
  Ranges ranges;
  H5Ovisit(file, H5_INDEX_NAME, H5_ITER_INC, add_ranges, &ranges);
  std::sort(ranges.begin(), ranges.end());
  return ranges;
}

}  // namespace terrace
