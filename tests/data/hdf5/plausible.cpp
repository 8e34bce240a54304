#include "data/hdf5/plausible.h"

#include "data/files/atomic_file.h"
#include "data/hdf5/file.h"
#include "tests/support.h"

namespace terrace {
namespace {

/// A file made by the library itself, for what Hdf5File does not write.
class RawFile {
 public:
  explicit RawFile(const std::string& path) : file_(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT)) {}
  hid_t id() const { return file_; }
  void dataset(const std::string& name, const std::vector<hsize_t>& dims, hid_t properties,
               const std::vector<hsize_t>& limits = {}) {
    const hdf5::Handle space(
        H5Screate_simple(static_cast<int>(dims.size()), dims.data(), limits.empty() ? nullptr : limits.data()));
    const hdf5::Handle made(
        H5Dcreate2(file_, name.c_str(), H5T_NATIVE_FLOAT, space, H5P_DEFAULT, properties, H5P_DEFAULT));
    EXPECT_TRUE(made.valid()) << name;
  }

 private:
  hdf5::Lock lock_;
  hdf5::Handle file_;
};

TEST(Hdf5Plausible, SizesThatCannotBeAreRefused) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  {
    RawFile raw(path);
    const hdf5::Handle chunked(H5Pcreate(H5P_DATASET_CREATE));
    const hsize_t chunk[] = {1, 1000};
    H5Pset_chunk(chunked, 2, chunk);
    raw.dataset("chunked", {hsize_t{1} << 30, 1000}, chunked);
    raw.dataset("overflow", {hsize_t{1} << 40, hsize_t{1} << 40}, chunked);
    const hdf5::Handle early(H5Pcreate(H5P_DATASET_CREATE));
    H5Pset_alloc_time(early, H5D_ALLOC_TIME_EARLY);
    raw.dataset("contiguous", {25000}, early);
  }
  const Hdf5File in = Hdf5File::open(path);
  EXPECT_EQ(in.shape("chunked"), (Shape{int64_t{1} << 30, 1000}));
  expect_error<IoError>([&] { in.read("chunked"); },
                        path +
                            ": dataset \"chunked\" of shape (1073741824, 1000), with 4 bytes for each element, does "
                            "not fit into this machine's memory of ");
  expect_error<IoError>([&] { in.read("overflow"); }, "does not fit into this machine's memory");
  EXPECT_SAME(in.read_rows("chunked", 5, 7), Tensor::zeros({2, 1000}));
  EXPECT_SAME(in.read("contiguous"), Tensor::zeros({25000}));

  // The extents and the size of the layout message are changed alike, so that the library itself finds nothing wrong.
  std::string bytes = read_file(path);
  const auto replace = [&](uint64_t old_value, uint64_t value) {
    const std::string from(reinterpret_cast<const char*>(&old_value), 8), to(reinterpret_cast<const char*>(&value), 8);
    int count = 0;
    for (size_t at = bytes.find(from); at != std::string::npos; at = bytes.find(from, at + 8), ++count) {
      bytes.replace(at, 8, to);
    }
    EXPECT_GT(count, 0) << old_value;
  };
  replace(25000, 25000000);
  replace(100000, 100000000);
  write_file(path, bytes);
  expect_error<IoError>(
      [&] { Hdf5File::open(path).read("contiguous"); },
      "cannot read " + path + ": damaged HDF5 file: dataset \"contiguous\" has 100000000 bytes from ");
}

TEST(Hdf5Plausible, OtherFilesAreNotRead) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5", other = folder / "other.h5";
  {
    Hdf5File out = Hdf5File::create(other);
    out.write("rows", Tensor::zeros({10}));
    out.make_group("group/in");
    out.commit();
  }
  write_file(folder / "raw", std::string(400, 'x'));
  {
    RawFile raw(path);
    H5Lcreate_external(other.c_str(), "/rows", raw.id(), "link", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external(other.c_str(), "/group", raw.id(), "links", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/links/in", raw.id(), "soft", H5P_DEFAULT, H5P_DEFAULT);
    const hdf5::Handle external(H5Pcreate(H5P_DATASET_CREATE));
    H5Pset_external(external, (folder / "raw").c_str(), 0, 400);
    raw.dataset("outside", {100}, external);
    const hdf5::Handle view(H5Pcreate(H5P_DATASET_CREATE));
    const hsize_t count = 10;
    const hdf5::Handle space(H5Screate_simple(1, &count, nullptr));
    H5Pset_virtual(view, space, other.c_str(), "/rows", space);
    raw.dataset("view", {10}, view);
  }
  const Hdf5File in = Hdf5File::open(path);
  EXPECT_EQ(in.list(), (std::vector<std::string>{"link", "links", "outside", "soft", "view"}));
  EXPECT_FALSE(in.has("link") || in.has("links/in") || in.has("soft"));
  EXPECT_EQ(in.list_datasets(), (std::vector<std::string>{"outside", "view"}));
  const std::string not_followed =
      " is a link to another file, which is not followed; copy into this file what it leads to";
  expect_error<IoError>([&] { in.read("link"); }, path + ": \"link\"" + not_followed);
  expect_error<IoError>([&] { in.list("links/in"); }, path + ": \"links\"" + not_followed);
  expect_error<IoError>([&] { in.list_attrs("link"); }, path + ": \"link\"" + not_followed);
  expect_error<IoError>([&] { in.list("soft"); }, path + ": no group \"soft\"");
  expect_error<IoError>([&] { in.read("outside"); }, path + ": dataset \"outside\" has its data in another file (\"" +
                                                         folder / "raw" +
                                                         "\"), which is not read; copy them into this one");
  expect_error<IoError>([&] { in.read_rows("view", 0, 1); },
                        path + ": dataset \"view\" is a view of other datasets (virtual), which are not read");
}

TEST(Hdf5Plausible, AnUnknownFilterIsNamed) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  {
    RawFile raw(path);
    const hdf5::Handle packed(H5Pcreate(H5P_DATASET_CREATE));
    const hsize_t chunk = 10;
    H5Pset_chunk(packed, 1, &chunk);
    H5Pset_filter(packed, 32000, H5Z_FLAG_OPTIONAL, 0, nullptr);  // LZF, h5py's own
    raw.dataset("x", {100}, packed);
  }
  const Hdf5File in = Hdf5File::open(path);
  EXPECT_EQ(in.shape("x"), (Shape{100}));
  expect_error<IoError>([&] { in.read("x"); },
                        path +
                            ": dataset \"x\" is packed by filter 32000, which the HDF5 library here does not have; "
                            "write it with gzip, or name the folder of the filter's plugin in HDF5_PLUGIN_PATH");
}

TEST(Hdf5Plausible, GroupsInACycleAreWalkedOnce) {
  const TemporaryFolder folder;
  {
    RawFile raw(folder / "a.h5");
    const hdf5::Handle group(H5Gcreate2(raw.id(), "g", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Lcreate_hard(raw.id(), "/", group, "up", H5P_DEFAULT, H5P_DEFAULT);
    raw.dataset("g/x", {3}, H5P_DEFAULT);
  }
  EXPECT_EQ(Hdf5File::open(folder / "a.h5").walk(), (std::vector<std::string>{"g/x"}));
}

}  // namespace
}  // namespace terrace
