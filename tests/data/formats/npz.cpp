#include "data/formats/npz.h"

#include <archive.h>
#include <archive_entry.h>

#include "data/files/atomic_file.h"
#include "data/formats/open_tensor_file.h"
#include "tests/support.h"

namespace terrace {
namespace {

using std::string_literals::operator""s;

std::string npy(const std::string& dictionary, const std::string& data, char version = 1) {
  std::string text = "\x93NUMPY" + std::string{version, 0};
  text += static_cast<char>(dictionary.size());
  text += std::string(version == 1 ? 1 : 3, '\0');
  return text + dictionary + data;
}

TensorFile open_text(const std::string& text) {
  return open_tensor_bytes("x.npy", std::as_bytes(std::span(text.data(), text.size())));
}

Tensor read_text(const std::string& text) { return open_text(text).read("arr_0"); }

/// A deflated zip archive of one entry.
void write_deflated(const std::string& path, const std::string& name, const std::string& content) {
  archive* a = archive_write_new();
  archive_write_set_format_zip(a);
  archive_write_open_filename(a, path.c_str());
  archive_entry* entry = archive_entry_new();
  archive_entry_set_pathname(entry, name.c_str());
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_size(entry, static_cast<int64_t>(content.size()));
  archive_write_header(a, entry);
  archive_write_data(a, content.data(), content.size());
  archive_entry_free(entry);
  archive_write_close(a);
  archive_write_free(a);
}

/// A text of these characters as NumPy stores it.
std::string text_array(const std::string& type, const std::u32string& characters) {
  return npy("{'descr': '" + type + "', 'fortran_order': False, 'shape': (), }",
             std::string(reinterpret_cast<const char*>(characters.data()), characters.size() * 4));
}

TEST(Npz, TextsAreMetadata) {
  const TemporaryFolder folder;
  const std::map<std::string, std::string> texts = {
      {"config", R"({"depth":1})"}, {"empty", ""}, {"names", "\u00e4pple \u6f22 \U0001f333 ~"}};
  {
    NpzWriter npz(folder / "x.npz");
    for (const auto& [name, text] : texts) { npz.text(name, text); }
    npz.begin("a", DType::kF32, {2});
    npz.append(Tensor::zeros({2}));
    npz.commit();
  }
  const TensorFile file = open_tensor_file(folder / "x.npz");
  EXPECT_EQ(file.metadata(), texts);
  ASSERT_EQ(file.entries().size(), 1U);
  // As NumPy writes np.str_("\u00e4b"), zeros at the end.
  write_deflated(folder / "y.npz", "t.npy", text_array("<U3", U"\u00e4b\0"s));
  EXPECT_EQ(open_tensor_file(folder / "y.npz").metadata().at("t"), "\u00e4b");
}

TEST(Npz, DamagedTextsAreRefused) {
  const TemporaryFolder folder;
  const auto expect = [&](const std::string& array, const std::string& text) {
    write_deflated(folder / "x.npz", "t.npy", array);
    expect_error<IoError>([&] { open_tensor_file(folder / "x.npz"); }, text);
  };
  expect(text_array("<U3", U"ab"), "npz: \"t.npy\": a text of type '<U3' in 8 bytes");
  expect(text_array("<U", U"ab"), "npz: \"t.npy\": a text of type '<U' in 8 bytes");
  expect(text_array("<U1", {0x110000}), "npz: \"t.npy\": a text with the number 1114112, which is no character");
  expect(text_array("<U1", {0xd800}), "a text with the number 55296, which is no character");
  expect(text_array(">U1", U"a"), "elements of type '>U1' are not supported");
  NpzWriter npz(folder / "z.npz");
  for (const char* bad : {"\xff", "a\xc3", "\xc0\xaf", "\xed\xa0\x80"}) {
    expect_error<IoError>([&] { npz.text("t", bad); }, "npz: the text \"t\" is not UTF-8");
  }
}

TEST(Npz, ImagesWrittenInPiecesReadByRows) {
  const TemporaryFolder folder;
  const Tensor images = random_tensor({10, 6, 5, 3}, 1, 0, 256).to(DType::kU8);
  {
    NpzWriter npz(folder / "samples.npz");
    npz.begin("arr_0", DType::kU8, images.shape());
    for (int64_t begin = 0; begin < 10; begin += 4) {
      npz.append(images.slice(0, begin, std::min<int64_t>(begin + 4, 10)));
    }
    npz.begin("labels", DType::kI64, {10});
    npz.append(Tensor::arange(10));
    EXPECT_FALSE(std::filesystem::exists(folder / "samples.npz"));
    npz.commit();
  }
  const TensorFile file = open_tensor_file(folder / "samples.npz");
  EXPECT_EQ(file.format(), "npz");
  EXPECT_SAME(file.read("arr_0"), images);
  EXPECT_SAME(file.read_rows("arr_0", 3, 7), images.slice(0, 3, 7));
  EXPECT_SAME(file.read("labels"), Tensor::arange(10));
}

TEST(Npz, RefusesWhatDoesNotFit) {
  const TemporaryFolder folder;
  NpzWriter npz(folder / "x.npz");
  expect_error<DTypeError>([&] { npz.begin("a", DType::kBF16, {1}); },
                           "npz: tensor \"a\" is bf16, which NumPy does not have; convert it to f32 or f16");
  npz.begin("a", DType::kU8, {3, 2});
  expect_error<DTypeError>([&] { npz.append(Tensor::zeros({1, 2})); }, "npz: a must be u8, got (1, 2) f32 cpu");
  expect_error<ShapeError>([&] { npz.append(Tensor::zeros({1, 3}, DType::kU8)); }, "npz: a must be (1, 2)");
  expect_error<ShapeError>([&] { npz.append(Tensor::zeros({4, 2}, DType::kU8)); }, "npz: a is (3, 2); 4 rows");
  npz.append(Tensor::zeros({2, 2}, DType::kU8));
  expect_error<IoError>([&] { npz.commit(); }, "entry \"a.npy\" lacks 2 bytes");
  expect_error<IoError>([] { NpzWriter("/nowhere/x.npz"); }, "cannot write /nowhere/x.npz: No such file or directory");
}

TEST(Npz, DeflatedArraysAreReadForwardsAndBackwards) {
  const TemporaryFolder folder;
  std::string data;
  for (int64_t i = 0; i < 100000; ++i) { data += static_cast<char>(i * i >> 7); }
  write_deflated(folder / "x.npz", "arr_0.npy",
                 npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1000, 100), }\n", data));
  const TensorFile file = open_tensor_file(folder / "x.npz");
  const Tensor all = Tensor::from(std::span(reinterpret_cast<const uint8_t*>(data.data()), data.size()), {1000, 100});
  for (const int64_t begin : {0, 300, 100, 990, 0}) {
    EXPECT_SAME(file.read_rows("arr_0", begin, begin + 10), all.slice(0, begin, begin + 10)) << begin;
  }
  EXPECT_SAME(file.read("arr_0"), all);
}

TEST(Npy, VersionsTypesAndOrders) {
  const std::string six("\1\0\2\0\3\0\4\0\5\0\6\0", 12);
  const Tensor expected = Tensor::from(std::vector<int32_t>{1, 2, 3, 4, 5, 6}, {2, 3});
  const std::string c_order = "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3)}";
  for (const char version : {1, 2, 3}) { EXPECT_SAME(read_text(npy(c_order, six, version)), expected); }
  EXPECT_SAME(read_text(npy("{\"shape\":(2L,3L,), 'fortran_order':False,'descr':'<u2',}\n", six)), expected);
  const Tensor columns = Tensor::from(std::vector<int32_t>{1, 3, 5, 2, 4, 6}, {2, 3});
  EXPECT_SAME(read_text(npy("{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3)}", six)), columns);
  EXPECT_EQ(open_text(npy(c_order, six)).format(), "npy");
  EXPECT_EQ(read_text(npy("{'descr': '<u8', 'fortran_order': False, 'shape': ()}", "\5" + std::string(7, '\0')))
                .item<int64_t>(),
            5);
  const std::string flags = npy("{'descr': '|b1', 'fortran_order': False, 'shape': (3,)}", std::string("\0\1\7", 3));
  EXPECT_EQ(read_text(flags).to_vector<uint8_t>(), (std::vector<uint8_t>{0, 1, 1}));
}

TEST(Npy, SaysWhatIsWrong) {
  const auto header = [](const std::string& descr, const std::string& shape) {
    return npy("{'descr': " + descr + ", 'fortran_order': False, 'shape': " + shape + "}", "abcd");
  };
  const std::pair<std::string, const char*> cases[] = {
      {header("'<f4'", "(2,)"), "npy: truncated: shape (2,) of '<f4' needs 8 bytes, there are 4"},
      {header("'>f4'", "(1,)"), "npy: elements of type '>f4' are not supported"},
      {header("'|O'", "(1,)"), "npy: holds Python objects, not numbers"},
      {header("[('a', '<f4')]", "(1,)"), "npy: holds records, not numbers"},
      {header("'<f4'", "(4294967296, 4294967296)"), "npy: a tensor of shape (4294967296, 4294967296) is too large"},
      {header("'<f4'", "(0, 4294967296, 4294967296)"), "is too large"},
      {header("'<f4'", "(99999999999999999999,)"), "npy: damaged header: an extent is too large"},
      {header("'<f4'", "(-1,)"), "npy: damaged header: expected a number at character"},
      {header("'<f4", "(1,)"), "npy: damaged header: "},
      {npy("{'descr': '<f4', 'shape': (1,)}", "abcd"), "descr, fortran_order or shape is missing"},
      {npy("{'evil': '<f4'}", "abcd"), "npy: damaged header: unknown key 'evil'"},
      {npy("", ""), "npy: damaged header: expected { at character 0"},
      {std::string("\x93NUMPY\x09\0\0\0\0\0", 12), "npy: version 9 of the format is not known"},
      {std::string("\x93NUMPY\x01\0\xff\0{", 11), "npy: truncated header"},
      {std::string("\x93NUMPY\x01", 7), "npy: not an array of NumPy"},
      {std::string("\x93NUMPY\x02\0\xff\xff\xff\xff", 12), "npy: a header of 4294967295 bytes"}};
  for (const auto& [text, error] : cases) {
    expect_error<IoError>([&, &text = text] { open_text(text); }, error);
  }
}

}  // namespace
}  // namespace terrace
