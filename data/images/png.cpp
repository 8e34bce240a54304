// PNG through libpng. As with JPEG, errors jump back into the step that called the library, and those steps hold
// nothing that would need destruction.
#include <csetjmp>
#include <cstring>
#include <vector>

#include <png.h>

#include "data/images/codecs.h"
#include "data/images/image_file.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

/// What the library's callbacks reach: the reason of an error, and the bytes read.
struct PngSource {
  std::span<const uint8_t> bytes;
  size_t next = 0;
  char message[160] = "";
};

void keep_message(char (&to)[160], const char* text) {
  std::strncpy(to, text, sizeof to - 1);
  to[sizeof to - 1] = '\0';
}

void on_read_error(png_structp png, png_const_charp text) {
  keep_message(static_cast<PngSource*>(png_get_error_ptr(png))->message, text);
  png_longjmp(png, 1);
}

void ignore_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep to, size_t count) {
  auto& source = *static_cast<PngSource*>(png_get_io_ptr(png));
  if (count > source.bytes.size() - source.next) { png_error(png, "the file is truncated"); }
  std::memcpy(to, source.bytes.data() + source.next, count);
  source.next += count;
}

class PngDecoder {
 public:
  PngDecoder(std::span<const uint8_t> bytes, const std::string& name) : name_(name) {
    source_.bytes = bytes;
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source_, &on_read_error, &ignore_warning);
    info_ = png_ != nullptr ? png_create_info_struct(png_) : nullptr;
    if (info_ == nullptr) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      throw std::bad_alloc();
    }
  }
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  Tensor decode() {
    check(read_header());
    const int64_t height = png_get_image_height(png_, info_), width = png_get_image_width(png_, info_);
    check_image_extents(static_cast<uint64_t>(height), static_cast<uint64_t>(width), name_);
    check(set_transforms());
    std::vector<uint8_t> pixels(static_cast<size_t>(height * width * 4));
    std::vector<uint8_t*> lines;
    for (int64_t y = 0; y < height; ++y) { lines.push_back(pixels.data() + y * width * 4); }
    check(read_lines(lines.data()));

    Tensor image = Tensor::empty({height, width, 3}, DType::kU8);
    uint8_t* to = image.data<uint8_t>();
    for (size_t i = 0; i < pixels.size(); i += 4) {
      const int alpha = pixels[i + 3];
      for (size_t c = 0; c < 3; ++c) {
        *to++ = static_cast<uint8_t>((pixels[i + c] * alpha + 255 * (255 - alpha) + 127) / 255);
      }
    }
    return image;
  }

 private:
  bool read_header() {
    if (setjmp(png_jmpbuf(png_)) != 0) { return false; }
    png_set_read_fn(png_, &source_, &read_bytes);
    // Damage in a chunk that may be left out, transparency for one, changes the picture too.
    png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_read_info(png_, info_);
    return true;
  }

  /// Whatever is stored comes out as 8-bit RGBA.
  bool set_transforms() {
    if (setjmp(png_jmpbuf(png_)) != 0) { return false; }
    png_set_expand(png_);
    png_set_scale_16(png_);
    png_set_gray_to_rgb(png_);
    png_set_filler(png_, 255, PNG_FILLER_AFTER);
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }

  bool read_lines(uint8_t** lines) {
    if (setjmp(png_jmpbuf(png_)) != 0) { return false; }
    png_read_image(png_, lines);
    png_read_end(png_, nullptr);
    return true;
  }

  void check(bool done) const {
    if (!done) { throw IoError(cat("cannot read ", name_, ": ", source_.message)); }
  }

  const std::string& name_;
  PngSource source_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};

/// Where the encoder puts its bytes. Growing the vector may throw, which must not pass through the library.
struct PngSink {
  std::vector<uint8_t> bytes;
  char message[160] = "";
};

void on_write_error(png_structp png, png_const_charp text) {
  keep_message(static_cast<PngSink*>(png_get_error_ptr(png))->message, text);
  png_longjmp(png, 1);
}

void write_bytes(png_structp png, png_bytep from, size_t count) {
  auto& sink = *static_cast<PngSink*>(png_get_io_ptr(png));
  bool fits = true;
  try {
    sink.bytes.insert(sink.bytes.end(), from, from + count);
  } catch (const std::bad_alloc&) { fits = false; }
  if (!fits) { png_error(png, "out of memory"); }
}

void ignore_flush(png_structp) {}

bool write_lines(png_structp png, png_infop info, PngSink& sink, uint8_t** lines, uint32_t height, uint32_t width,
                 int color) {
  if (setjmp(png_jmpbuf(png)) != 0) { return false; }
  png_set_write_fn(png, &sink, &write_bytes, &ignore_flush);
  png_set_IHDR(png, info, width, height, 8, color, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  png_write_image(png, lines);
  png_write_end(png, nullptr);
  return true;
}

}  // namespace

Tensor decode_png(std::span<const uint8_t> bytes, const std::string& name) { return PngDecoder(bytes, name).decode(); }

std::vector<uint8_t> encode_png(const Tensor& image) {
  check_dtype(image, DType::kU8, "encode_png", "image");
  const bool color = image.ndim() == 3 && image.dim(2) == 3;
  if ((!color && image.ndim() != 2) || image.numel() == 0) {
    throw ShapeError(cat("encode_png: image must be (H, W, 3) or (H, W), got ", image.describe()));
  }
  const Tensor source = image.contiguous();
  const int64_t height = source.dim(0), line = source.dim(1) * (color ? 3 : 1);
  std::vector<uint8_t*> lines;
  for (int64_t y = 0; y < height; ++y) { lines.push_back(source.data<uint8_t>() + y * line); }

  PngSink sink;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &sink, &on_write_error, &ignore_warning);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  const bool done = info != nullptr &&
                    write_lines(png, info, sink, lines.data(), static_cast<uint32_t>(height),
                                static_cast<uint32_t>(source.dim(1)), color ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY);
  png_destroy_write_struct(&png, &info);
  if (!done) { throw IoError(cat("encode_png: ", sink.message)); }
  return std::move(sink.bytes);
}

}  // namespace terrace
