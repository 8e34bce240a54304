// Image files: JPEG and PNG in, PNG out. A picture is a u8 tensor (H, W, 3), red first.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace terrace {

/// ".png" of "A.PNG": with the dot, in lower case.
std::string lower_extension(const std::filesystem::path& path);
/// Whether a file's name ends in .png, .jpg or .jpeg, in any case.
bool is_picture_name(const std::filesystem::path& path);

/// Decodes a JPEG (any colour space: grey, YCbCr, CMYK, YCCK) or PNG (palette, grey, 16 bit; alpha over white) by what
/// its first bytes say, whatever its name. Throws IoError that names the file and the reason.
Tensor read_image(const std::string& path);
/// The same from memory; `name` stands for the file in errors.
Tensor decode_image(std::span<const uint8_t> bytes, const std::string& name);

/// image: u8 (H, W, 3) or (H, W) grey.
std::vector<uint8_t> encode_png(const Tensor& image);
/// Written beside and renamed.
void write_png(const std::string& path, const Tensor& image);

}  // namespace terrace
