// Dispatch to the codecs, which are jpeg.cpp and png.cpp.
#include "data/images/image_file.h"

#include <cctype>
#include <cstring>

#include "data/files/atomic_file.h"
#include "data/images/codecs.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

bool starts_with(std::span<const uint8_t> bytes, std::string_view mark) {
  return bytes.size() >= mark.size() && std::memcmp(bytes.data(), mark.data(), mark.size()) == 0;
}

}  // namespace

std::string lower_extension(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) { c = static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }
  return extension;
}

bool is_picture_name(const std::filesystem::path& path) {
  const std::string extension = lower_extension(path);
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

Tensor decode_image(std::span<const uint8_t> bytes, const std::string& name) {
  using namespace std::string_view_literals;
  if (bytes.empty()) { throw IoError(cat("cannot read ", name, ": the file is empty")); }
  if (starts_with(bytes, "\xff\xd8\xff"sv)) { return decode_jpeg(bytes, name); }
  if (starts_with(bytes, "\x89PNG\r\n\x1a\n"sv)) { return decode_png(bytes, name); }
  throw IoError(cat("cannot read ", name, ": neither a JPEG nor a PNG file"));
}

Tensor read_image(const std::string& path) {
  const std::string content = read_file(path);
  return decode_image({reinterpret_cast<const uint8_t*>(content.data()), content.size()}, path);
}

void write_png(const std::string& path, const Tensor& image) {
  const std::vector<uint8_t> bytes = encode_png(image);
  write_file(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void check_image_extents(uint64_t height, uint64_t width, const std::string& name) {
  constexpr uint64_t kMaxPixels = uint64_t{1} << 28;
  if (height == 0 || width == 0 || height > kMaxPixels / width) {
    throw IoError(cat("cannot read ", name, ": ", width, " x ", height, " pixels are not between 1 and ", kMaxPixels));
  }
}

}  // namespace terrace
