#include "data/images/image_file.h"

#include <png.h>
#include <zlib.h>

#include "data/files/atomic_file.h"
#include "tests/data/images/pictures.h"
#include "tests/flipped_bits.h"

namespace terrace {
namespace {

using Bytes = std::vector<uint8_t>;

TEST(ImageFile, PngComesBackBitByBit) {
  const TemporaryFolder folder;
  for (const Shape& shape : {Shape{1, 1, 3}, {7, 31, 3}, {33, 2, 3}}) {
    const Tensor image = smooth_picture(shape[0], shape[1]);
    write_png(folder / "a.png", image);
    EXPECT_SAME(read_image(folder / "a.png"), image);
  }
  const Tensor grey = Tensor::from(Bytes{0, 50, 100, 150, 200, 255}, {2, 3});
  write_png(folder / "grey.png", grey);
  EXPECT_SAME(read_image(folder / "grey.png"), grey.unsqueeze(2).expand({2, 3, 3}).contiguous());
  const Tensor whole = smooth_picture(8, 8);
  write_png(folder / "view.png", whole.slice(1, 2, 5));
  EXPECT_SAME(read_image(folder / "view.png"), whole.slice(1, 2, 5).contiguous());
}

TEST(ImageFile, EveryKindOfPngBecomesRgb) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.png";
  const auto read = [&] { return read_image(path).flatten().to_vector<int64_t>(); };
  using Values = std::vector<int64_t>;
  write_raw_png(path, 1, 2, 8, PNG_COLOR_TYPE_PALETTE, {{1, 0}}, {10, 20, 30, 40, 50, 60});
  EXPECT_EQ(read(), (Values{40, 50, 60, 10, 20, 30}));
  write_raw_png(path, 1, 3, 1, PNG_COLOR_TYPE_GRAY, {{0b10100000}});
  EXPECT_EQ(read(), (Values{255, 255, 255, 0, 0, 0, 255, 255, 255}));
  write_raw_png(path, 1, 2, 16, PNG_COLOR_TYPE_GRAY, {{0x80, 0x00, 0xff, 0xff}});
  EXPECT_EQ(read(), (Values{128, 128, 128, 255, 255, 255}));
  write_raw_png(path, 1, 1, 16, PNG_COLOR_TYPE_RGB, {{0x10, 0x00, 0x20, 0x00, 0x30, 0x00}});
  EXPECT_EQ(read(), (Values{16, 32, 48}));
  // Alpha over white: opaque, half, gone.
  write_raw_png(path, 1, 3, 8, PNG_COLOR_TYPE_RGBA, {{100, 0, 255, 255, 100, 0, 255, 51, 100, 0, 255, 0}});
  EXPECT_EQ(read(), (Values{100, 0, 255, 224, 204, 255, 255, 255, 255}));
  write_raw_png(path, 1, 2, 8, PNG_COLOR_TYPE_GRAY_ALPHA, {{100, 255, 100, 0}});
  EXPECT_EQ(read(), (Values{100, 100, 100, 255, 255, 255}));
  std::vector<Bytes> rows(9, Bytes(27));
  Values expected;
  for (size_t i = 0; i < 243; ++i) { expected.push_back(rows[i / 27][i % 27] = static_cast<uint8_t>(i)); }
  write_raw_png(path, 9, 9, 8, PNG_COLOR_TYPE_RGB, rows, {}, true);
  EXPECT_EQ(read(), expected);
}

TEST(ImageFile, EveryKindOfJpegBecomesRgb) {
  const TemporaryFolder folder;
  const Tensor image = smooth_picture(37, 50);
  write_jpeg(folder / "color.jpg", image);
  EXPECT_NEAR_TENSOR(read_image(folder / "color.jpg").to(DType::kF32), image.to(DType::kF32), 10);

  const Tensor grey = image.slice(2, 0, 1).contiguous();
  write_jpeg(folder / "grey.jpg", grey);
  EXPECT_NEAR_TENSOR(read_image(folder / "grey.jpg").to(DType::kF32),
                     grey.expand({37, 50, 3}).contiguous().to(DType::kF32), 6);

  // Adobe's CMYK is inverted: light, and a key that halves it.
  Tensor inks = Tensor::full({37, 50, 4}, 128, DType::kU8);
  inks.slice(2, 0, 3).copy_(image);
  Tensor half = Tensor::empty(image.shape());
  for (int64_t i = 0; i < image.numel(); ++i) {
    half.data<float>()[i] = static_cast<float>(image.data<uint8_t>()[i]) * 128 / 255;
  }
  write_jpeg(folder / "inks.jpg", inks);
  EXPECT_NEAR_TENSOR(read_image(folder / "inks.jpg").to(DType::kF32), half, 6);
}

TEST(ImageFile, TheContentDecidesNotTheName) {
  const TemporaryFolder folder;
  write_png(folder / "really_png.jpg", smooth_picture(4, 4));
  EXPECT_SAME(read_image(folder / "really_png.jpg"), smooth_picture(4, 4));
}

TEST(ImageFile, ErrorsNameTheFile) {
  const TemporaryFolder folder;
  const auto refuses = [&](const std::string& name, const std::string& content, const std::string& reason) {
    write_file(folder / name, content);
    expect_error<IoError>([&] { read_image(folder / name); }, "cannot read " + folder / name + ": " + reason);
  };
  expect_error<IoError>([&] { read_image(folder / "no.png"); }, "No such file");
  refuses("empty.jpg", "", "the file is empty");
  refuses("text.png", "not a picture", "neither a JPEG nor a PNG file");
  write_jpeg(folder / "a.jpg", smooth_picture(64, 64));
  write_png(folder / "a.png", smooth_picture(64, 64));
  const std::string jpeg = read_file(folder / "a.jpg"), png = read_file(folder / "a.png");
  refuses("cut.jpg", jpeg.substr(0, jpeg.size() / 2), "Premature end of JPEG file");
  refuses("head.jpg", jpeg.substr(0, 20), "");
  refuses("cut.png", png.substr(0, png.size() / 2), "the file is truncated");
  refuses("head.png", png.substr(0, 20), "the file is truncated");
  std::string flipped = png;
  flipped[flipped.size() / 2] = static_cast<char>(~flipped[flipped.size() / 2]);
  refuses("damaged.png", flipped, "");
  std::string huge = png;  // extents of the header
  for (size_t i = 16; i < 24; ++i) { huge[i] = '\x3f'; }
  refuses("huge.png", huge, "");
  expect_error<ShapeError>([] { encode_png(Tensor::zeros({2, 2, 4}, DType::kU8)); }, "(2, 2, 4)");
  expect_error<DTypeError>([] { encode_png(Tensor::zeros({2, 2, 3})); }, "u8");
}

/// A chunk behind the header of a PNG.
std::string with_chunk(std::string png, const std::string& type, const std::string& data) {
  const std::string body = type + data;
  const auto crc =
      static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size())));
  std::string chunk = std::string(3, '\0') + static_cast<char>(data.size()) + body;
  for (int shift = 24; shift >= 0; shift -= 8) { chunk += static_cast<char>(crc >> shift & 0xff); }
  return png.insert(8 + 25, chunk);
}

TEST(ImageFile, NoFlippedBitOfAPngPasses) {
  const TemporaryFolder folder;
  const Tensor image = smooth_picture(5, 4);
  write_png(folder / "a.png", image);
  const auto* pixel = image.data<uint8_t>();
  const std::string hidden = {0, static_cast<char>(pixel[0]), 0, static_cast<char>(pixel[1]),
                              0, static_cast<char>(pixel[2])};
  const std::string png = with_chunk(read_file(folder / "a.png"), "tRNS", hidden);  // the first pixel's color is white
  write_file(folder / "b.png", png);
  ASSERT_EQ(read_image(folder / "b.png").data<uint8_t>()[0], 255);
  const auto read = [&](const std::string& bytes) {
    const Tensor shown = decode_image(std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()), "x");
    return std::string(reinterpret_cast<const char*>(shown.data<uint8_t>()), static_cast<size_t>(shown.numel()));
  };
  EXPECT_EQ(expect_no_flip_to_pass(png, 1, read), static_cast<int64_t>(png.size()) * 8);
}

}  // namespace
}  // namespace terrace
