#include "data/hdf5/direct.h"

#include <algorithm>
#include <array>

#include "data/hdf5/plausible.h"
#include "tensor/base/error.h"
#include "tensor/base/names.h"

namespace terrace::hdf5 {
namespace {

std::string without_slashes(const std::string& name) {
  const size_t begin = name.find_first_not_of('/');
  if (begin == std::string::npos) { return ""; }
  return name.substr(begin, name.find_last_not_of('/') - begin + 1);
}

bool is_bool_enum(hid_t type) {
  if (H5Tget_nmembers(type) != 2) { return false; }
  char* name = H5Tget_member_name(type, 0);
  const bool found = name != nullptr && std::string(name) == "FALSE";
  H5free_memory(name);
  return found;
}

bool marked_bf16(hid_t dataset, const std::string& path) {
  if (!has_attribute(dataset, "dtype", path)) { return false; }
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
  return static_cast<ListedNames*>(out)->add(name);
}

herr_t collect_dataset(hid_t, const char* name, const H5O_info_t* object, void* out) {
  return object->type == H5O_TYPE_DATASET ? static_cast<ListedNames*>(out)->add(name) : 0;
}

/// The first part of the path that is a link to another file, "" without one.
std::string part_in_another_file(hid_t file, const std::string& name) {
  const std::string path = without_slashes(name);
  for (size_t end = path.find('/');; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    H5L_info_t link;
    if (part.empty() || H5Lexists(file, part.c_str(), H5P_DEFAULT) <= 0 ||
        H5Lget_info(file, part.c_str(), &link, H5P_DEFAULT) < 0) {
      return "";
    }
    if (link.type == H5L_TYPE_EXTERNAL) { return part; }
    if (end == std::string::npos) { return ""; }
  }
}

/// Whether the link `part`, a path from the root, is there and leads to an object. What lies below something that is no
/// group is not there, for which the library has no answer but the same failure as for a damaged file.
bool has_link(hid_t file, const std::string& path, const std::string& part) {
  const htri_t link = H5Lexists(file, part.c_str(), H5P_DEFAULT);
  const htri_t object = link > 0 ? H5Oexists_by_name(file, part.c_str(), H5P_DEFAULT) : link;
  if (object >= 0) { return object > 0; }
  const std::string reason = last_reason();
  const size_t end = part.rfind('/');
  const Handle parent(H5Oopen(file, end == std::string::npos ? "/" : part.substr(0, end).c_str(), H5P_DEFAULT));
  if (parent.valid() && H5Iget_type(parent) != H5I_GROUP) { return false; }
  H5L_info_t info;
  if (link > 0 && H5Lget_info(file, part.c_str(), &info, H5P_DEFAULT) >= 0 && info.type != H5L_TYPE_HARD) {
    return false;  // it leads to another file
  }
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

}  // namespace

DirectReader::DirectReader(std::string path, Handle opened, Metadata metadata)
    : path_(std::move(path)), file_(std::move(opened)), metadata_(metadata) {}

DirectReader::~DirectReader() {
  const Lock lock;
  close();
}

bool DirectReader::close() {
  open_datasets_.clear();
  return file_.reset();
}

int64_t DirectReader::file_bytes() const {
  hsize_t bytes = 0;
  if (H5Fget_filesize(file_, &bytes) < 0) { fail(path_, "cannot tell the size of the file"); }
  return static_cast<int64_t>(bytes);
}

// --- What is inside ---

ObjectKind DirectReader::kind_of(const std::string& name) {
  const Lock lock;
  if (!exists(file_, path_, name)) { return ObjectKind::kNone; }
  const Handle object(H5Oopen(file_, name.empty() ? "/" : name.c_str(), H5P_DEFAULT));
  if (!object.valid()) { fail(path_, cat("cannot open \"", name, "\"")); }
  const H5I_type_t type = H5Iget_type(object);
  return type == H5I_GROUP ? ObjectKind::kGroup : type == H5I_DATASET ? ObjectKind::kDataset : ObjectKind::kOther;
}

Handle DirectReader::open_group(const std::string& name) {
  if (kind_of(name) != ObjectKind::kGroup) {
    refuse_other_file(name);
    throw IoError(cat(path_, ": no group \"", name, "\""));
  }
  Handle group(H5Gopen2(file_, name.empty() ? "/" : name.c_str(), H5P_DEFAULT));
  if (!group.valid()) { fail(path_, cat("cannot list group \"", name, "\"")); }
  return group;
}

/// Links are visited in the order in which they are stored, and sorted here. For any other order the library of version
/// 1.10 makes a table of them first, and where it cannot read one of them it frees what the table does not hold yet.
std::vector<std::string> DirectReader::list(const std::string& group) {
  const Lock lock;
  const Handle id = open_group(group);
  ListedNames names;
  const herr_t status = H5Literate(id, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, &collect_link, &names);
  std::vector<std::string> found = names.take();
  if (status < 0) { fail(path_, cat("cannot list group \"", group, "\"")); }
  return found;
}

std::vector<std::string> DirectReader::walk(const std::string& group) {
  const Lock lock;
  const Handle id = open_group(group);
  ListedNames names;
  const herr_t status = H5Ovisit2(id, H5_INDEX_NAME, H5_ITER_NATIVE, &collect_dataset, &names, H5O_INFO_BASIC);
  std::vector<std::string> found = names.take();
  if (status < 0) { fail(path_, cat("cannot list group \"", group, "\"")); }
  return found;
}

void DirectReader::refuse_other_file(const std::string& name) const {
  const std::string part = part_in_another_file(file_, name);
  if (part.empty()) { return; }
  throw IoError(cat(path_, ": \"", part,
                    "\" is a link to another file, which is not followed; copy into this file what ", "it leads to"));
}

Handle DirectReader::open_object(const std::string& name) const {
  if (!exists(file_, path_, name)) {
    refuse_other_file(name);
    throw IoError(cat(path_, ": no group or dataset \"", name, "\""));
  }
  Handle object(H5Oopen(file_, name.empty() ? "/" : name.c_str(), H5P_DEFAULT));
  if (!object.valid()) { fail(path_, cat("cannot open \"", name, "\"")); }
  return object;
}

Handle DirectReader::open_dataset(const std::string& name) {
  const ObjectKind kind = kind_of(name);
  if (kind == ObjectKind::kGroup) { throw IoError(cat(path_, ": \"", name, "\" is a group, not a dataset")); }
  if (kind != ObjectKind::kDataset) {
    refuse_other_file(name);
    ListedNames names;
    H5Ovisit2(file_, H5_INDEX_NAME, H5_ITER_NATIVE, &collect_dataset, &names, H5O_INFO_BASIC);
    throw IoError(
        cat(path_, ": no dataset \"", name, "\"; ", nearest_names(names.take(), without_slashes(name), "datasets")));
  }
  Handle dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT));
  if (!dataset.valid()) { fail(path_, cat("cannot open dataset \"", name, "\"")); }
  return dataset;
}

hid_t DirectReader::keep_dataset(const std::string& name) {
  auto found = open_datasets_.find(name);
  if (found == open_datasets_.end()) { found = open_datasets_.emplace(name, open_dataset(name)).first; }
  return found->second;
}

Hdf5DatasetInfo DirectReader::info_of(hid_t dataset, const std::string& name) const {
  Hdf5DatasetInfo info;
  const Handle space(H5Dget_space(dataset));
  const int ndim = H5Sget_simple_extent_ndims(space);
  if (ndim < 0 || H5Sget_simple_extent_type(space) == H5S_NULL) {
    throw IoError(cat(path_, ": dataset \"", name, "\" has no shape"));
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
      info.dtype = integer_dtype(dataset, type, path_);
      return info;
    case H5T_ENUM:
      if (is_bool_enum(type)) {
        info.dtype = DType::kBool;
        return info;
      }
      [[fallthrough]];
    default:
      throw IoError(cat(path_, ": dataset \"", name, "\" is of a type that is neither numbers nor strings"));
  }
}

Hdf5DatasetInfo DirectReader::info(const std::string& name) {
  const Lock lock;
  return info_of(open_dataset(name), name);
}

// --- Reading ---

/// Of a selection whose dataset is open and whose info is the dataset's, with `rows` already its own.
void DirectReader::complete(Selection& selection) const {
  const std::string what = cat("dataset \"", selection.name, "\"");
  if (selection.info.is_string) { throw IoError(cat(path_, ": ", what, " holds strings, not numbers")); }
  const Shape& shape = selection.info.shape;
  const int64_t size = size_of(selection.info.dtype);
  if (metadata_ == Metadata::kDoubtful) { check_storage(selection.dataset, file_bytes(), path_, what); }
  const int64_t bytes =
      metadata_ == Metadata::kDoubtful ? bytes_in_memory(shape, size, path_, what) : shape.numel() * size;
  selection.rows = shape.empty() ? 1 : shape[0];
  selection.row_bytes = bytes == 0 ? 0 : bytes / selection.rows;
  if (metadata_ == Metadata::kAsWritten) { return; }
  const Handle properties(H5Dget_create_plist(selection.dataset));
  std::array<hsize_t, H5S_MAX_RANK> chunk{};
  if (H5Pget_layout(properties) != H5D_CHUNKED) { return; }
  const int dims = H5Pget_chunk(properties, static_cast<int>(chunk.size()), chunk.data());
  if (dims < 1) { fail(path_, cat("cannot read ", what)); }
  selection.chunk_rows = static_cast<int64_t>(std::max<hsize_t>(chunk[0], 1));
  selection.chunk_bytes =
      bytes_in_memory(Shape(chunk.begin(), chunk.begin() + dims), size, path_, "a chunk of " + what);
}

Selection DirectReader::select(const std::string& name) {
  Selection selection;
  selection.owned = open_dataset(name);
  selection.dataset = selection.owned;
  selection.name = name;
  selection.info = info_of(selection.dataset, name);
  complete(selection);
  return selection;
}

Selection DirectReader::select_rows(const std::string& name, int64_t begin, int64_t end) {
  Selection selection;
  selection.dataset = keep_dataset(name);
  selection.name = name;
  selection.info = info_of(selection.dataset, name);
  Shape& shape = selection.info.shape;
  if (!selection.info.is_string) {
    if (shape.empty() || begin < 0 || begin > end || end > shape[0]) {
      throw IndexError(cat(path_, ": rows [", begin, ", ", end, ") of dataset \"", name, "\" with shape ", shape));
    }
    shape[0] = end - begin;
    selection.first_row = begin;
  }
  complete(selection);
  return selection;
}

void DirectReader::read_to(const Selection& selection, int64_t begin, int64_t end, void* out) const {
  if (begin == end || selection.row_bytes == 0) { return; }
  const Shape& shape = selection.info.shape;
  Handle memory_space, file_space;
  if (!shape.empty()) {
    std::vector<hsize_t> start(static_cast<size_t>(shape.size()), 0), count(shape.begin(), shape.end());
    start[0] = static_cast<hsize_t>(selection.first_row + begin);
    count[0] = static_cast<hsize_t>(end - begin);
    file_space = Handle(H5Dget_space(selection.dataset));
    H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr);
    memory_space = Handle(H5Screate_simple(static_cast<int>(shape.size()), count.data(), nullptr));
  }
  const Handle type = type_of(selection.info.dtype);
  const herr_t status = H5Dread(selection.dataset, type, shape.empty() ? H5S_ALL : memory_space.get(),
                                shape.empty() ? H5S_ALL : file_space.get(), H5P_DEFAULT, out);
  if (status < 0) { fail(path_, cat("cannot read dataset \"", selection.name, "\"")); }
}

Tensor DirectReader::read(const Selection& selection) const {
  Tensor out = Tensor::empty(selection.info.shape, selection.info.dtype);
  read_to(selection, 0, selection.rows, out.raw_data());
  return out;
}

Tensor DirectReader::read(const std::string& name) {
  const Lock lock;
  return read(select(name));
}

Tensor DirectReader::read_rows(const std::string& name, int64_t begin, int64_t end) {
  const Lock lock;
  return read(select_rows(name, begin, end));
}

std::vector<std::string> DirectReader::read_strings(const std::string& name) {
  const Lock lock;
  const std::string what = cat("dataset \"", name, "\"");
  const Handle dataset = open_dataset(name);
  const Handle type(H5Dget_type(dataset));
  if (H5Tget_class(type) != H5T_STRING) { throw IoError(cat(path_, ": ", what, " holds numbers, not strings")); }
  if (metadata_ == Metadata::kDoubtful) { check_storage(dataset, file_bytes(), path_, what); }
  return hdf5::read_strings(dataset, type, false, path_, what);
}

}  // namespace terrace::hdf5
