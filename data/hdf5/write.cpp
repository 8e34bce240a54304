#include <algorithm>

#include "data/hdf5/direct.h"
#include "data/hdf5/file_impl.h"
#include "tensor/base/error.h"

namespace terrace {

using hdf5::Handle;
using hdf5::Lock;

namespace {

constexpr int64_t kChunkBytes = 64 << 10;

[[noreturn]] void fail_writing(const std::string& file, const std::string& name) {
  throw IoError(cat("cannot write ", file, ": dataset \"", name, "\": ", hdf5::last_reason()));
}

/// Links that make the groups on the way.
Handle link_properties() {
  Handle properties(H5Pcreate(H5P_LINK_CREATE));
  H5Pset_create_intermediate_group(properties, 1);
  H5Pset_char_encoding(properties, H5T_CSET_UTF8);
  return properties;
}

/// Chunked where the options ask for it, or `extendable` needs it; chunks span the inner dimensions.
Handle dataset_properties(const Shape& shape, DType dtype, const Hdf5WriteOptions& options, bool extendable) {
  Handle properties(H5Pcreate(H5P_DATASET_CREATE));
  H5Pset_obj_track_times(properties, false);  // the same content gives the same bytes whenever it is written
  const bool gzip = options.compression == Compression::kGzip;
  if (shape.empty() || (!extendable && !gzip && options.chunk_rows == 0)) { return properties; }
  if (!extendable && shape.numel() == 0) { return properties; }
  std::vector<hsize_t> chunk;
  int64_t row_bytes = size_of(dtype);
  for (int64_t d = 0; d < shape.size(); ++d) {
    chunk.push_back(static_cast<hsize_t>(std::max<int64_t>(shape[d], 1)));
    if (d > 0) { row_bytes *= std::max<int64_t>(shape[d], 1); }
  }
  int64_t rows = options.chunk_rows > 0 ? options.chunk_rows : std::max<int64_t>(kChunkBytes / row_bytes, 1);
  if (!extendable) { rows = std::min(rows, shape[0]); }
  chunk[0] = static_cast<hsize_t>(rows);
  H5Pset_chunk(properties, static_cast<int>(chunk.size()), chunk.data());
  if (gzip) {
    H5Pset_shuffle(properties);
    H5Pset_deflate(properties, static_cast<unsigned>(options.gzip_level));
  }
  return properties;
}

Handle create_dataset(hid_t file, const std::string& path, const std::string& name, hid_t type, hid_t space,
                      hid_t properties) {
  if (H5Lexists(file, name.c_str(), H5P_DEFAULT) > 0) {
    throw IoError(cat("cannot write ", path, ": \"", name, "\" is there already"));
  }
  Handle dataset(H5Dcreate2(file, name.c_str(), type, space, link_properties(), properties, H5P_DEFAULT));
  if (!dataset.valid()) { fail_writing(path, name); }
  return dataset;
}

void mark_dtype(Hdf5File& file, const std::string& name, DType dtype) {
  if (dtype == DType::kBF16) { file.write_attr_string(name, "dtype", "bf16"); }
}

}  // namespace

void Hdf5File::make_group(const std::string& name) {
  const Lock lock;
  const hdf5::DirectReader& own = writable();
  if (is_group(name)) { return; }
  const Handle group(H5Gcreate2(own.file(), name.c_str(), link_properties(), H5P_DEFAULT, H5P_DEFAULT));
  if (!group.valid()) { throw IoError(cat("cannot write ", path(), ": group \"", name, "\": ", hdf5::last_reason())); }
}

void Hdf5File::write(const std::string& name, const Tensor& value, const Hdf5WriteOptions& options) {
  const Lock lock;
  const hdf5::DirectReader& own = writable();
  const Tensor source = value.to(kCpu).contiguous();
  const Shape& shape = source.shape();
  const std::vector<hsize_t> dims(shape.begin(), shape.end());
  const Handle space(shape.empty() ? H5Screate(H5S_SCALAR)
                                   : H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr));
  const Handle type = hdf5::type_of(source.dtype());
  {
    const Handle dataset = create_dataset(own.file(), path(), name, type, space,
                                          dataset_properties(shape, source.dtype(), options, false));
    if (source.numel() > 0 && H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, source.raw_data()) < 0) {
      fail_writing(path(), name);
    }
  }
  mark_dtype(*this, name, source.dtype());
}

void Hdf5File::write_strings(const std::string& name, const std::vector<std::string>& values) {
  const Lock lock;
  const hdf5::DirectReader& own = writable();
  const hsize_t count = values.size();
  const Handle space(H5Screate_simple(1, &count, nullptr));
  const Handle type = hdf5::string_type();
  const Handle dataset = create_dataset(own.file(), path(), name, type, space,
                                        dataset_properties({static_cast<int64_t>(count)}, DType::kU8, {}, false));
  std::vector<const char*> pointers;
  for (const std::string& value : values) { pointers.push_back(value.c_str()); }
  if (!values.empty() && H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()) < 0) {
    fail_writing(path(), name);
  }
}

void Hdf5File::create_rows(const std::string& name, const Shape& row_shape, DType dtype,
                           const Hdf5WriteOptions& options) {
  const Lock lock;
  const hdf5::DirectReader& own = writable();
  Shape shape = row_shape;
  shape.insert(0, 0);
  const std::vector<hsize_t> dims(shape.begin(), shape.end());
  std::vector<hsize_t> limits = dims;
  limits[0] = H5S_UNLIMITED;
  const Handle space(H5Screate_simple(static_cast<int>(dims.size()), dims.data(), limits.data()));
  const Handle type = hdf5::type_of(dtype);
  create_dataset(own.file(), path(), name, type, space, dataset_properties(shape, dtype, options, true));
  mark_dtype(*this, name, dtype);
}

void Hdf5File::append_rows(const std::string& name, const Tensor& rows) {
  const Lock lock;
  hdf5::DirectReader& own = writable();
  const hid_t dataset = own.keep_dataset(name);
  const Hdf5DatasetInfo info = own.info_of(dataset, name);
  const Tensor source = rows.to(kCpu).contiguous();
  Shape expected = info.shape;
  if (!expected.empty() && source.ndim() > 0) { expected[0] = source.shape()[0]; }
  if (expected.empty() || source.shape() != expected || source.dtype() != info.dtype) {
    throw ShapeError(cat("append_rows: dataset \"", name, "\" of ", path(), " is ", info.shape, " ", info.dtype,
                         "; got rows ", source.describe()));
  }
  if (source.numel() == 0) { return; }

  std::vector<hsize_t> dims(info.shape.begin(), info.shape.end());
  const std::vector<hsize_t> count(source.shape().begin(), source.shape().end());
  std::vector<hsize_t> start(dims.size(), 0);
  start[0] = dims[0];
  dims[0] += count[0];
  if (H5Dset_extent(dataset, dims.data()) < 0) { fail_writing(path(), name); }
  const Handle file_space(H5Dget_space(dataset));
  H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr);
  const Handle memory_space(H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr));
  const Handle type = hdf5::type_of(source.dtype());
  if (H5Dwrite(dataset, type, memory_space, file_space, H5P_DEFAULT, source.raw_data()) < 0) {
    fail_writing(path(), name);
  }
}

}  // namespace terrace
