#include "data/hdf5/file.h"

#include <filesystem>
#include <fstream>
#include <thread>

#include "data/files/atomic_file.h"
#include "tests/data/files/full_disk.h"
#include "tests/support.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

size_t files_in(const std::string& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

Tensor sample(const Shape& shape, DType dtype) {
  if (is_floating(dtype) || dtype == DType::kF16) { return random_tensor(shape, 5, -3, 3).to(dtype); }
  const int64_t count = shape.numel();
  std::vector<int64_t> values;
  for (int64_t i = 0; i < count; ++i) { values.push_back(dtype == DType::kBool ? i % 2 : (i * 37) % 200); }
  return Tensor::from(values, shape).to(dtype);
}

TEST(Hdf5File, EveryDtypeAndShapeComesBackBitByBit) {
  const TemporaryFolder folder;
  const std::vector<Shape> shapes = {{}, {0}, {1}, {7}, {0, 3}, {2, 0, 5}, {31, 33}, {129, 2, 3}};
  for (const DType dtype :
       {DType::kF32, DType::kF64, DType::kF16, DType::kBF16, DType::kI64, DType::kI32, DType::kU8, DType::kBool}) {
    const std::string path = folder / (std::string(name_of(dtype)) + ".h5");
    Hdf5File out = Hdf5File::create(path);
    for (size_t i = 0; i < shapes.size(); ++i) {
      const Tensor value = sample(shapes[i], dtype);
      out.write(cat("plain/", i), value);
      out.write(cat("packed/", i), value, {.chunk_rows = 3, .compression = Compression::kGzip});
    }
    out.commit();
    const Hdf5File in = Hdf5File::open(path);
    for (size_t i = 0; i < shapes.size(); ++i) {
      EXPECT_SAME(in.read(cat("plain/", i)), sample(shapes[i], dtype));
      EXPECT_SAME(in.read(cat("packed/", i)), sample(shapes[i], dtype));
    }
  }
}

TEST(Hdf5File, ViewsAreWrittenAsTheyLook) {
  const TemporaryFolder folder;
  const Tensor value = random_tensor({4, 6}, 1);
  Hdf5File out = Hdf5File::create(folder / "a.h5");
  out.write("transposed", value.transpose(0, 1));
  out.write("row", value.select(0, 2));
  out.commit();
  const Hdf5File in = Hdf5File::open(folder / "a.h5");
  EXPECT_SAME(in.read("transposed"), value.transpose(0, 1).contiguous());
  EXPECT_SAME(in.read("row"), value.select(0, 2).contiguous());
}

TEST(Hdf5File, NamesWithDotsGroupsAndListing) {
  const TemporaryFolder folder;
  Hdf5File out = Hdf5File::create(folder / "a.h5");
  out.write("state_dict/blocks.0.attn.proj.weight", Tensor::zeros({2}));
  out.write("state_dict/blocks.0.attn.proj.bias", Tensor::zeros({1}));
  out.write("deep/er/still", Tensor::zeros({1}));
  out.make_group("empty/group");
  out.make_group("empty/group");
  out.commit();
  const Hdf5File in = Hdf5File::open(folder / "a.h5");
  using Names = std::vector<std::string>;
  EXPECT_EQ(in.list(), (Names{"deep", "empty", "state_dict"}));
  EXPECT_EQ(in.list("state_dict"), (Names{"blocks.0.attn.proj.bias", "blocks.0.attn.proj.weight"}));
  EXPECT_EQ(in.list_datasets("deep/er"), (Names{"still"}));
  EXPECT_EQ(in.list_groups("deep"), (Names{"er"}));
  EXPECT_EQ(in.walk("deep"), (Names{"er/still"}));
  EXPECT_EQ(in.walk().size(), 3u);
  EXPECT_TRUE(in.has("deep/er") && in.is_group("deep/er") && in.is_dataset("/deep/er/still") && in.is_group("/"));
  EXPECT_FALSE(in.has("deep/er/more") || in.has("no/such/thing") || in.is_group("deep/er/still"));
  EXPECT_EQ(in.shape("state_dict/blocks.0.attn.proj.weight"), (Shape{2}));
  EXPECT_EQ(in.dtype("deep/er/still"), DType::kF32);
}

TEST(Hdf5File, RowsAndStreaming) {
  const TemporaryFolder folder;
  const Tensor all = random_tensor({100, 3, 2}, 2);
  Hdf5File out = Hdf5File::create(folder / "a.h5");
  out.create_rows("x", {3, 2}, DType::kF32, {.chunk_rows = 7, .compression = Compression::kGzip});
  out.create_rows("labels", {}, DType::kI64);
  out.create_rows("halves", {2}, DType::kBF16);
  for (const auto& [begin, end] : {std::pair{0, 1}, {1, 1}, {1, 34}, {34, 100}}) {
    out.append_rows("x", all.slice(0, begin, end));
    out.append_rows("labels", Tensor::full({end - begin}, begin, DType::kI64));
  }
  out.append_rows("halves", Tensor::full({1, 2}, 1.5, DType::kBF16));
  expect_error<ShapeError>([&] { out.append_rows("x", Tensor::zeros({1, 2, 2})); }, "(100, 3, 2) f32");
  expect_error<ShapeError>([&] { out.append_rows("x", Tensor::zeros({1, 3, 2}, DType::kF64)); }, "f64");
  out.commit();
  const Hdf5File in = Hdf5File::open(folder / "a.h5");
  EXPECT_SAME(in.read("x"), all);
  EXPECT_SAME(in.read_rows("x", 30, 50), all.slice(0, 30, 50).contiguous());
  EXPECT_SAME(in.read_rows("x", 99, 100), all.slice(0, 99, 100).contiguous());
  EXPECT_EQ(in.read_rows("x", 5, 5).shape(), (Shape{0, 3, 2}));
  EXPECT_EQ(in.read("labels").to_vector<int64_t>()[50], 34);
  EXPECT_EQ(in.read("halves").dtype(), DType::kBF16);
  expect_error<IndexError>([&] { in.read_rows("x", 90, 101); }, "rows [90, 101) of dataset \"x\"");
  expect_error<IndexError>([&] { in.read_rows("x", -1, 1); }, "[-1, 1)");
  expect_error<IndexError>([&] { in.read_rows("x", 3, 2); }, "[3, 2)");
}

TEST(Hdf5File, AttributesAndStrings) {
  const TemporaryFolder folder;
  const std::vector<std::string> words = {"", "caf\xc3\xa9", std::string(5000, 'x')};
  Hdf5File out = Hdf5File::create(folder / "a.h5");
  out.write("g/x", Tensor::zeros({1}));
  out.write_strings("words", words);
  out.write_strings("none", {});
  for (const char* object : {"/", "g", "g/x"}) {
    out.write_attr_string(object, "text", "\xc3\xa4");
    out.write_attr_string(object, "text", "second");
    out.write_attr_int(object, "count", int64_t{1} << 60);
    out.write_attr_double(object, "rate", 0.1);
  }
  out.commit();
  const Hdf5File in = Hdf5File::open(folder / "a.h5");
  EXPECT_EQ(in.read_strings("words"), words);
  EXPECT_TRUE(in.read_strings("none").empty());
  for (const char* object : {"/", "", "g", "g/x"}) {
    EXPECT_EQ(in.read_attr_string(object, "text"), "second");
    EXPECT_EQ(in.read_attr_int(object, "count"), int64_t{1} << 60);
    EXPECT_EQ(in.read_attr_double(object, "rate"), 0.1);
    const bool root = std::string(object).empty() || std::string(object) == "/";
    EXPECT_EQ(in.list_attrs(object).size(), root ? 4u : 3u) << "the root has terrace_checksums as well";
    EXPECT_TRUE(in.has_attr(object, "rate"));
    EXPECT_FALSE(in.has_attr(object, "other"));
  }
  EXPECT_EQ(in.read_attr_double("g", "count"), static_cast<double>(int64_t{1} << 60));
  expect_error<IoError>([&] { in.read_attr_int("g", "rate"); }, "attribute \"rate\" of \"g\" must be one integer");
  expect_error<IoError>([&] { in.read_attr_string("/", "rate"); }, "must be a string");
  expect_error<IoError>([&] { in.read_attr_string("/", "more"); }, "no attribute \"more\" of \"/\"");
  expect_error<IoError>([&] { in.read_attr_string("h", "more"); }, "no group or dataset \"h\"");
  expect_error<IoError>([&] { in.read("words"); }, "holds strings");
  expect_error<IoError>([&] { in.read_strings("g/x"); }, "holds numbers");
}

TEST(Hdf5File, ReadsFilesOfOthers) {
  // Written by h5py: variable-length attributes, scalars, many groups.
  const Hdf5File golden = Hdf5File::open((source_root() / "tests/golden/ops.h5").string());
  EXPECT_TRUE(golden.is_group("cases/softmax/inputs"));
  EXPECT_FALSE(golden.read_attr_string("/", "config").empty());
  EXPECT_EQ(golden.read("cases/softmax/inputs/x").dtype(), DType::kF32);
  EXPECT_GT(golden.walk("cases").size(), 100u);
}

TEST(Hdf5File, ErrorsNameTheFileAndTheReason) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  expect_error<IoError>([&] { Hdf5File::open(path); }, "cannot read " + path + ": No such file or directory");
  expect_error<IoError>([&] { Hdf5File::open(folder.path()); }, "it is a folder");
  write_file(path, "");
  expect_error<IoError>([&] { Hdf5File::open(path); }, "the file is empty");
  write_file(path, "this is a text, and not a short one, but no HDF5 file");
  expect_error<IoError>([&] { Hdf5File::open(path); }, path + ": it is not an HDF5 file");

  Hdf5File out = Hdf5File::create(path);
  out.write("images", random_tensor({1000, 10}, 1));
  out.write("group/labels", Tensor::zeros({3}));
  expect_error<IoError>([&] { out.write("images", Tensor::zeros({1})); }, "\"images\" is there already");
  out.commit();
  expect_error<IoError>([&] { out.write("more", Tensor::zeros({1})); }, "already committed");
  const Hdf5File in = Hdf5File::open(path);
  expect_error<IoError>([&] { in.read("image"); },
                        path + ": no dataset \"image\"; nearest names: images, group/labels");
  expect_error<IoError>([&] { in.read("group"); }, "\"group\" is a group, not a dataset");
  expect_error<IoError>([&] { in.list("nothing"); }, "no group \"nothing\"");
  expect_error<IoError>([&] { in.read("images", DType::kU8); }, "dataset \"images\" must be u8, it is f32");

  const std::string whole = read_file(path);
  for (const double share : {0.99, 0.5, 0.1}) {
    write_file(folder / "cut.h5", whole.substr(0, static_cast<size_t>(share * static_cast<double>(whole.size()))));
    expect_error<IoError>([&] { Hdf5File::open(folder / "cut.h5"); }, "the HDF5 file is truncated");
  }
}

TEST(Hdf5File, DamagedDataIsAnErrorNotACrash) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  Hdf5File out = Hdf5File::create(path);
  out.write("before", random_tensor({40000}, 1));
  out.write("x", random_tensor({40000}, 1), {.chunk_rows = 40000, .compression = Compression::kGzip});
  out.commit();
  std::string bytes = read_file(path);
  const size_t third = bytes.size() * 2 / 3;
  for (size_t i = third; i < third + 64; ++i) { bytes[i] = static_cast<char>(~bytes[i]); }
  write_file(path, bytes);
  expect_error<IoError>([&] { Hdf5File::open(path).read("x"); }, path + ": cannot read dataset \"x\"");
}

TEST(Hdf5File, WithoutCommitNothingIsLeft) {
  const TemporaryFolder folder;
  {
    Hdf5File out = Hdf5File::create(folder / "a.h5");
    out.write("x", random_tensor({100000}, 1));
    out.create_rows("rows", {10}, DType::kF32);
    out.append_rows("rows", Tensor::zeros({1000, 10}));
  }
  EXPECT_EQ(files_in(folder.path()), 0u);
  expect_error<IoError>([&] { Hdf5File::create(folder / "no/a.h5"); },
                        "cannot write " + folder / "no/a.h5" + ": No such file or directory");
}

TEST(Hdf5File, FullDisk) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  {
    const FullDisk limit(1 << 20);
    expect_error<IoError>(
        [&] {
          Hdf5File out = Hdf5File::create(path);
          out.create_rows("x", {1000}, DType::kF32);
          for (int i = 0; i < 100; ++i) { out.append_rows("x", Tensor::zeros({100, 1000})); }
          out.commit();
        },
        "cannot write " + path + ": ");
    EXPECT_EQ(files_in(folder.path()), 0u);
  }
  // The library is as good as before.
  Hdf5File out = Hdf5File::create(path);
  out.write("x", Tensor::zeros({10}));
  out.commit();
  EXPECT_EQ(Hdf5File::open(path).shape("x"), (Shape{10}));
}

TEST(Hdf5File, FullDiskFoundOnlyAtCommit) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  Hdf5File out = Hdf5File::create(path);
  for (int i = 0; i < 200; ++i) { out.write(cat("group", i, "/x"), Tensor::zeros({2}), {.chunk_rows = 1}); }
  const FullDisk limit(1000);
  expect_error<IoError>([&] { out.commit(); }, "cannot write " + path + ": File too large");
  EXPECT_FALSE(fs::exists(path));
}

TEST(Hdf5File, ThreadsShareTheLibrary) {
  const TemporaryFolder folder;
  Hdf5File out = Hdf5File::create(folder / "a.h5");
  const Tensor all = random_tensor({64, 50}, 3);
  out.write("x", all, {.chunk_rows = 2, .compression = Compression::kGzip});
  out.commit();
  const Hdf5File in = Hdf5File::open(folder / "a.h5");
  std::vector<std::thread> threads;
  std::vector<int> right(4, 0);
  for (size_t t = 0; t < right.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int64_t i = 0; i < 64; ++i) {
        const Tensor row = in.read_rows("x", i, i + 1);
        const Hdf5File own = Hdf5File::open(folder / "a.h5");
        right[t] += absolute_error(row, all.slice(0, i, i + 1)) == 0 && own.has("x");
      }
    });
  }
  for (std::thread& thread : threads) { thread.join(); }
  EXPECT_EQ(right, std::vector<int>(4, 64));
}

}  // namespace
}  // namespace terrace
