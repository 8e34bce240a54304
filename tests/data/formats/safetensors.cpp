#include "data/formats/safetensors.h"

#include "data/files/atomic_file.h"
#include "data/formats/open_tensor_file.h"
#include "tests/support.h"

namespace terrace {
namespace {

std::string file_of(const std::string& header, const std::string& data, int64_t length = -1) {
  const uint64_t stated = length < 0 ? header.size() : static_cast<uint64_t>(length);
  return std::string(reinterpret_cast<const char*>(&stated), 8) + header + data;
}

TensorFile open_text(const std::string& text) {
  return open_tensor_bytes("x", std::as_bytes(std::span(text.data(), text.size())));
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape, int64_t begin,
                   int64_t end) {
  return cat("\"", name, "\":{\"dtype\":\"", dtype, "\",\"shape\":", shape, ",\"data_offsets\":[", begin, ",", end,
             "]}");
}

TEST(Safetensors, TypesThatWidenAndTheOrderOfTheData) {
  const std::string text = file_of("{" + tensor("b", "I16", "[2]", 4, 8) + "," + tensor("a", "U32", "[]", 0, 4) + "," +
                                       tensor("none", "F32", "[0,3]", 8, 8) + ",\"__metadata__\":{\"k\":\"v\"}}  ",
                                   std::string("\xff\xff\xff\xff\xfe\xff\x03\0", 8));
  const TensorFile file = open_text(text);
  EXPECT_EQ(file.entries()[0].name, "a");
  EXPECT_EQ(file.read("a").item<int64_t>(), 4294967295);
  EXPECT_EQ(file.read("b").to_vector<int32_t>(), (std::vector<int32_t>{-2, 3}));
  EXPECT_EQ(file.read("none").shape(), (Shape{0, 3}));
  EXPECT_EQ(file.metadata().at("k"), "v");
}

TEST(Safetensors, RefusesWhatTheReferenceRefuses) {
  const std::string four(4, '\0'), eight(8, '\0');
  const auto one = [&](const std::string& dtype, const std::string& shape, int64_t begin, int64_t end) {
    return file_of("{" + tensor("a", dtype, shape, begin, end) + "}", four);
  };
  const auto two = [&](int64_t begin, int64_t end) {
    return file_of("{" + tensor("a", "F32", "[1]", 0, 4) + "," + tensor("b", "F32", "[1]", begin, end) + "}", eight);
  };
  const std::pair<std::string, const char*> cases[] = {
      {one("F32", "[2]", 0, 4), "tensor \"a\": shape (2,) and dtype F32 need 8 bytes, data_offsets give 4"},
      {one("F32", "[2]", 0, 8), "tensor \"a\": data_offsets (0, 8) do not lie in the 4 bytes of data"},
      {one("F32", "[1]", 4, 0), "tensor \"a\": data_offsets (4, 0) do not lie in the 4 bytes of data"},
      {one("F8_E4M3", "[4]", 0, 4), "tensor \"a\": dtype F8_E4M3 is not supported"},
      {one("F32", "[-1]", 0, 4), "tensor \"a\": shape is not a list of whole numbers"},
      {one("F32", "[1.5]", 0, 4), "tensor \"a\": shape is not a list of whole numbers"},
      {one("F32", "\"x\"", 0, 4), "tensor \"a\": shape is not a list of whole numbers"},
      {one("F32", "[9223372036854775807,2]", 0, 4),
       "tensor \"a\": a tensor of shape (9223372036854775807, 2) is too large"},
      {one("F32", "[18446744073709551615]", 0, 4), "tensor \"a\": shape is not a list of whole numbers"},
      {two(0, 4), "tensor \"b\" begins at byte 0 of the data, within the tensor before it, which ends at 4"},
      {file_of("{" + tensor("a", "F32", "[1]", 4, 8) + "}", eight),
       "tensor \"a\" begins at byte 4 of the data, behind a hole"},
      {file_of("{" + tensor("a", "F32", "[1]", 0, 4) + "}", eight), "the tensors end at byte 4 of 8 bytes of data"},
      {file_of("{" + tensor("a", "F32", "[1]", 0, 4) + "," + tensor("a", "F32", "[1]", 4, 8) + "}", eight),
       "the name \"a\" comes twice"},
      {file_of("{\"a\":3}", ""), "tensor \"a\" has no dtype"},
      {file_of("{\"__metadata__\":[]}", ""), "__metadata__ is not an object"},
      {file_of("{\"__metadata__\":{\"k\":1}}", ""), "__metadata__: \"k\" is not text"},
      {file_of("{\"a\":", ""), "the header is not JSON: "},
      {file_of("{}", "", 3), "truncated: a header of 3 bytes in a file of 10"},
      {file_of("{}", "", 100'000'001), "a header of 100000001 bytes; 100000000 are allowed"}};
  for (const auto& [text, error] : cases) {
    expect_error<IoError>([&, &text = text] { open_text(text); }, cat("cannot read x: safetensors: ", error));
  }
}

TEST(Safetensors, TheHeaderIsPadded) {
  const TemporaryFolder folder;
  for (const std::string name : {"a", "ab", "abcdefgh"}) {
    const auto writer = create_safetensors(folder / "x", {{name, DType::kF32, {1}}}, {});
    writer->write(Tensor::full({1}, 2));
    writer->commit();
    const std::string bytes = read_file(folder / "x");
    EXPECT_EQ(bytes.size() % 8, 4U);
    EXPECT_EQ(open_text(bytes).read(name).item<float>(), 2);
  }
}

}  // namespace
}  // namespace terrace
