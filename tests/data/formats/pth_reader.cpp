// PyTorch files that are damaged or hostile: each is refused with a text that says which and why.
#include "data/formats/pth_reader.h"

#include "data/files/atomic_file.h"
#include "data/formats/zip_archive.h"
#include "tests/data/formats/weight_files.h"
#include "tests/support.h"

namespace terrace {
namespace {

std::string u32(uint32_t value) { return std::string(reinterpret_cast<const char*>(&value), 4); }

// Pieces of pickles, protocol 2.
const std::string kHead("\x80\x02", 2);
const std::string kOrderedDict = "ccollections\nOrderedDict\n)R";
std::string text(const std::string& value) { return "X" + u32(static_cast<uint32_t>(value.size())) + value; }
std::string integer(int64_t value) { return "\x8a\x08" + std::string(reinterpret_cast<const char*>(&value), 8); }
std::string tuple(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (const int64_t value : values) { out += integer(value); }
  return out + "t";
}
std::string storage(int64_t elements, const std::string& key = "0", const std::string& type = "FloatStorage") {
  return "(" + text("storage") + "ctorch\n" + type + "\n" + text(key) + text("cpu") + integer(elements) + "tQ";
}
std::string tensor(const std::string& storage_code, int64_t offset, const std::vector<int64_t>& size,
                   const std::vector<int64_t>& stride) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage_code + integer(offset) + tuple(size) + tuple(stride) +
         "\x89" + kOrderedDict + "tR";
}

class HostilePth : public testing::Test {
 protected:
  std::string path() const { return folder_ / "x.pth"; }
  /// A zip file with this pickle and one storage "0" of `bytes` bytes.
  void write(const std::string& pickle, int64_t bytes = 16) const {
    ZipWriter zip(path());
    add(zip, "x/data.pkl", kHead + pickle + ".");
    add(zip, "x/data/0", std::string(static_cast<size_t>(bytes), '\0'));
    zip.commit();
  }
  static void add(ZipWriter& zip, const std::string& name, const std::string& content) {
    zip.begin(name, static_cast<int64_t>(content.size()));
    zip.write(content.data(), static_cast<int64_t>(content.size()));
  }
  void expect_refused(const std::string& pickle, const std::string& error, int64_t bytes = 16) const {
    write(pickle, bytes);
    expect_error<IoError>([this] { open_tensor_file(path()); }, "cannot read " + path() + ": pth: " + error);
  }
  TemporaryFolder folder_;
};

TEST_F(HostilePth, ThePiecesMakeATensor) {
  write(tensor(storage(4), 1, {3}, {1}));
  const TensorFile file = open_tensor_file(path());
  EXPECT_SAME(file.read("tensor"), Tensor::zeros({3}));
  write("}(" + text("a") + tensor(storage(4), 0, {2, 2}, {1, 2}) + "u");
  EXPECT_SAME(open_tensor_file(path()).read("a"), Tensor::zeros({2, 2}));
}

TEST_F(HostilePth, NothingIsCalled) {
  const std::string argument = text("touch " + folder_ / "called");
  expect_refused("cposix\nsystem\n(" + argument + "tR", "refuses to call posix.system");
  expect_refused("cbuiltins\neval\n(" + argument + "tR", "refuses to call builtins.eval");
  expect_refused(text("os") + text("system") + "\x93(" + argument + "tR", "refuses to call os.system");
  expect_refused("(" + argument + "ios\nsystem\n", "refuses to call os.system");
  expect_refused("(cos\nsystem\n" + argument + "o", "refuses to call os.system");
  expect_refused("ctorch.nn.modules.linear\nLinear\n)\x81}b", "refuses to call torch.nn.modules.linear.Linear");
  expect_refused("ctorch._utils\n_rebuild_parameter\n(cposix\nsystem\n(" + argument + "tRt R",
                 "refuses to call posix.system");
  expect_refused(argument + ")R", "refuses to call what is not a function");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "called"));
  write("}(" + text("harmless") + "cposix\nsystem\n" + text("n") + "K\7u");  // named, but not called
  EXPECT_EQ(open_tensor_file(path()).metadata().at("n"), "7");
}

TEST_F(HostilePth, SizesAreCheckedAgainstTheStorage) {
  constexpr int64_t kHuge = int64_t{1} << 62;
  expect_refused(
      tensor(storage(4), 0, {5}, {1}),
      "tensor \"tensor\": shape (5,) with strides (1,) from element 0 reaches beyond its storage of 4 elements");
  expect_refused(tensor(storage(4), 4, {1}, {1}),
                 "tensor \"tensor\": shape (1,) with strides (1,) from element 4 reaches");
  expect_refused(tensor(storage(4), 0, {2, 2}, {kHuge, kHuge}), "tensor \"tensor\": shape (2, 2) with strides");
  expect_refused(tensor(storage(4), 0, {kHuge, kHuge}, {0, 0}), "tensor \"tensor\": a tensor of shape");
  expect_refused(tensor(storage(4), 0, {0, kHuge, kHuge}, {0, 0, 0}), "tensor \"tensor\": a tensor of shape");
  expect_refused(tensor(storage(4), 0, {1 << 20, 1 << 20}, {0, 0}),
                 "tensor \"tensor\": shape (1048576, 1048576) repeats");
  expect_refused(tensor(storage(4), -1, {1}, {1}), "tensor \"tensor\": the offset is not a whole number");
  expect_refused(tensor(storage(4), 0, {-1}, {1}), "tensor \"tensor\": the size is not a whole number");
  expect_refused(tensor(storage(4), 0, {1}, {-1}), "tensor \"tensor\": the stride is not a whole number");
  expect_refused(tensor(storage(4), 0, {1}, {1, 1}), "tensor \"tensor\": the shape (1,) and the strides (1, 1) differ");
  expect_refused(tensor(storage(5), 0, {1}, {1}), "tensor \"tensor\": storage 0 claims 5 elements, the file has 4");
  expect_refused(tensor(storage(kHuge), 0, {1}, {1}), "tensor \"tensor\": storage 0 claims");
  expect_refused(tensor(storage(4, "7"), 0, {1}, {1}), "record x/data/7 is missing");
  expect_refused(tensor(storage(4, "0", "ComplexFloatStorage"), 0, {1}, {1}),
                 "tensor \"tensor\": elements of torch.ComplexFloatStorage are not supported");
  expect_refused(tensor("N", 0, {1}, {1}), "tensor \"tensor\": its storage is not described as PyTorch does");
}

TEST_F(HostilePth, NamesComeOnce) {
  const std::string t = tensor(storage(4), 0, {1}, {1});
  write("}(" + text("a") + t + text("a") + t + "u");
  expect_error<IoError>([this] { open_tensor_file(path()); }, "two tensors are named \"a\"");
  ZipWriter zip(path());
  for (int i = 0; i < 2; ++i) { add(zip, "x/data.pkl", kHead + "N."); }
  zip.commit();
  expect_error<IoError>([this] { open_tensor_file(path()); },
                        "two entries of the zip archive are named \"x/data.pkl\"");
}

TEST_F(HostilePth, ObjectsWithoutEnd) {
  const std::string endless = "the objects are nested without end, or too many";
  expect_refused("]q\1h\1a", endless);                                       // a list that holds itself
  expect_refused(std::string(5000, ']') + std::string(4999, 'a'), endless);  // deep
  std::string doubling = "N";
  for (int i = 0; i < 60; ++i) {
    doubling += "q\1h\1\x86";  // pairs of pairs: 2^60 at the end
  }
  expect_refused(doubling, endless);
  expect_refused("X\xff\xff\xff\x7f", "pickle: truncated at byte ");
  expect_refused("\x8d" + std::string(8, '\xff'), "pickle: truncated at byte ");
}

TEST_F(HostilePth, ProgramsThatMakeNoSense) {
  expect_refused("", "pickle: the stack is empty at byte 3");
  expect_refused("t", "pickle: no mark at byte 3");
  expect_refused("h\5", "pickle: value 5 was never remembered");
  expect_refused("NNa", "pickle: expected a list at byte 5");
  expect_refused("NNNs", "pickle: expected a dictionary at byte 6");
  expect_refused("}(Nu", "pickle: a key without a value at byte 6");
  expect_refused("\x82", "pickle: opcode 130 at byte 2 is not known");
  expect_refused("I1x\n", "pickle: \"1x\" is not a number");
  expect_refused("NQ", "pickle: a persistent id that is not a short tuple at byte 4");
  expect_refused("N}b", "pickle: expected a dictionary, the only thing that may be given a state, at byte 5");
  expect_refused("ctorch._utils\n_rebuild_tensor_v2\n)R",
                 "pickle: torch._utils._rebuild_tensor_v2 takes 4 arguments, got 0");
  expect_refused("\x80\x63N", "pickle: a protocol above 5");
}

// Cut anywhere, the file is refused with an error of ours; nothing else happens.
TEST_F(HostilePth, TruncatedFiles) {
  for (const char* name : {"pth_misc.pth", "pth_misc_legacy.pth"}) {
    const std::string whole = read_file(GoldenFile(name).path());
    size_t refused = 0;
    for (size_t size = 1; size < whole.size(); size += 13) {
      const std::string part = whole.substr(0, size);
      try {
        read_everything(open_tensor_bytes("x", std::as_bytes(std::span(part))));
      } catch (const IoError&) { ++refused; }
    }
    EXPECT_EQ(refused, (whole.size() + 11) / 13) << name;
  }
  const std::string zip = read_file(GoldenFile("pth_misc.pth").path());
  write_file(path(), zip.substr(0, zip.size() / 2));
  expect_error<IoError>([this] { open_tensor_file(path()); },
                        "a zip archive without its directory, probably truncated");
  const std::string legacy = read_file(GoldenFile("pth_misc_legacy.pth").path());
  write_file(path(), legacy.substr(0, legacy.size() - 5));
  expect_error<IoError>([this] { open_tensor_file(path()); }, "pth: truncated within storage");
}

TEST_F(HostilePth, BigEndianIsRefused) {
  ZipWriter zip(path());
  add(zip, "x/data.pkl", kHead + "N.");
  add(zip, "x/byteorder", "big");
  zip.commit();
  expect_error<IoError>([this] { open_tensor_file(path()); }, "pth: written by a big-endian machine");
}

}  // namespace
}  // namespace terrace
