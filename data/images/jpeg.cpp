// JPEG through libjpeg-turbo. The library reports errors by a call that must not return; here it jumps back into the
// step that called the library. Those steps therefore hold nothing that would need destruction.
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <vector>

#include <jerror.h>
#include <jpeglib.h>

#include "data/images/codecs.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

class JpegDecoder {
 public:
  JpegDecoder(std::span<const uint8_t> bytes, const std::string& name) : bytes_(bytes), name_(name) {
    info_.err = jpeg_std_error(&errors_);
    info_.client_data = this;
    errors_.error_exit = &on_error;
    errors_.emit_message = &on_message;
    check(create());
  }
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  Tensor decode() {
    check(start());
    const int64_t height = info_.output_height, width = info_.output_width, channels = info_.output_components;
    Tensor image = Tensor::empty({height, width, 3}, DType::kU8);
    uint8_t* to = image.data<uint8_t>();
    std::vector<uint8_t> line(static_cast<size_t>(width * channels));
    for (int64_t y = 0; y < height; ++y, to += 3 * width) {
      check(read_line(line.data()));
      if (channels == 4) {
        cmyk_to_rgb(line.data(), width, to);
      } else {
        std::memcpy(to, line.data(), static_cast<size_t>(3 * width));
      }
    }
    check(finish());
    return image;
  }

 private:
  static JpegDecoder& self(j_common_ptr info) { return *static_cast<JpegDecoder*>(info->client_data); }

  static void on_error(j_common_ptr info) {
    JpegDecoder& decoder = self(info);
    (*info->err->format_message)(info, decoder.message_);
    std::longjmp(decoder.back_, 1);
  }

  /// Warnings that mean lost picture data are errors here: a grey lower half would enter a dataset silently.
  static void on_message(j_common_ptr info, int level) {
    if (level >= 0) { return; }
    const int code = info->err->msg_code;
    if (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE) { on_error(info); }
  }

  bool create() {
    if (setjmp(back_) != 0) { return false; }
    jpeg_create_decompress(&info_);
    jpeg_mem_src(&info_, bytes_.data(), bytes_.size());
    return true;
  }

  bool read_header() {
    if (setjmp(back_) != 0) { return false; }
    jpeg_read_header(&info_, TRUE);
    const bool four = info_.jpeg_color_space == JCS_CMYK || info_.jpeg_color_space == JCS_YCCK;
    info_.out_color_space = four ? JCS_CMYK : JCS_RGB;
    return true;
  }

  bool start() {
    check(read_header());
    check_image_extents(info_.image_height, info_.image_width, name_);
    return start_decompress();
  }

  bool start_decompress() {
    if (setjmp(back_) != 0) { return false; }
    jpeg_start_decompress(&info_);
    return true;
  }

  bool read_line(uint8_t* line) {
    if (setjmp(back_) != 0) { return false; }
    jpeg_read_scanlines(&info_, &line, 1);
    return true;
  }

  bool finish() {
    if (setjmp(back_) != 0) { return false; }
    jpeg_finish_decompress(&info_);
    return true;
  }

  void check(bool done) const {
    if (!done) { throw IoError(cat("cannot read ", name_, ": ", message_)); }
  }

  /// Adobe's files store the inks inverted: 255 is no ink.
  void cmyk_to_rgb(const uint8_t* from, int64_t width, uint8_t* to) const {
    const int flip = info_.saw_Adobe_marker ? 0 : 255;
    for (int64_t x = 0; x < width; ++x, from += 4) {
      for (int c = 0; c < 3; ++c) {
        const int light = flip == 0 ? from[c] : flip - from[c];
        const int key = flip == 0 ? from[3] : flip - from[3];
        *to++ = static_cast<uint8_t>((light * key + 127) / 255);
      }
    }
  }

  std::span<const uint8_t> bytes_;
  const std::string& name_;
  jpeg_decompress_struct info_{};
  jpeg_error_mgr errors_{};
  std::jmp_buf back_{};
  char message_[JMSG_LENGTH_MAX] = "";
};

}  // namespace

Tensor decode_jpeg(std::span<const uint8_t> bytes, const std::string& name) {
  return JpegDecoder(bytes, name).decode();
}

}  // namespace terrace
