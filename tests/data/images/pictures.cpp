#include "tests/data/images/pictures.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include <jpeglib.h>
#include <png.h>

#include "data/files/atomic_file.h"

namespace terrace {

Tensor smooth_picture(int64_t height, int64_t width) {
  Tensor image = Tensor::empty({height, width, 3}, DType::kU8);
  uint8_t* to = image.data<uint8_t>();
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      const double u = static_cast<double>(x) / static_cast<double>(width),
                   v = static_cast<double>(y) / static_cast<double>(height);
      *to++ = static_cast<uint8_t>(40 + 180 * u);
      *to++ = static_cast<uint8_t>(220 - 150 * v);
      *to++ = static_cast<uint8_t>(128 + 60 * std::sin(3 * u + 2 * v));
    }
  }
  return image;
}

void write_jpeg(const std::string& path, const Tensor& pixels) {
  const int64_t channels = pixels.dim(2);
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &bytes, &size);
  info.image_height = static_cast<JDIMENSION>(pixels.dim(0));
  info.image_width = static_cast<JDIMENSION>(pixels.dim(1));
  info.input_components = static_cast<int>(channels);
  info.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 98, TRUE);
  jpeg_start_compress(&info, TRUE);
  for (int64_t y = 0; y < pixels.dim(0); ++y) {
    uint8_t* row = pixels.data<uint8_t>() + y * pixels.dim(1) * channels;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  write_file(path, {reinterpret_cast<const char*>(bytes), size});
  std::free(bytes);
}

void write_raw_png(const std::string& path, int64_t height, int64_t width, int depth, int color,
                   const std::vector<std::vector<uint8_t>>& rows, const std::vector<uint8_t>& palette,
                   bool interlaced) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_init_io(png, file);
  png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), depth, color,
               interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  std::vector<png_color> colors;
  for (size_t i = 0; i + 2 < palette.size(); i += 3) { colors.push_back({palette[i], palette[i + 1], palette[i + 2]}); }
  if (!colors.empty()) { png_set_PLTE(png, info, colors.data(), static_cast<int>(colors.size())); }
  png_write_info(png, info);
  std::vector<png_bytep> pointers;
  for (const auto& row : rows) { pointers.push_back(const_cast<png_bytep>(row.data())); }
  png_write_image(png, pointers.data());
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  std::fclose(file);
}

}  // namespace terrace
