#include "data/images/pixels.h"

#include <cmath>

#include "tests/support.h"

namespace terrace {
namespace {

TEST(Pixels, BytesAndFloatsConvertBack) {
  std::vector<uint8_t> values(256 * 3);
  for (size_t i = 0; i < values.size(); ++i) { values[i] = static_cast<uint8_t>(i / 3 + i % 3); }
  const Tensor bytes = Tensor::from(values, {1, 16, 16, 3});
  EXPECT_SAME(images_to_bytes(images_to_float(bytes)), bytes);
  const float nan = std::nanf("");
  const Tensor wild = Tensor::from(std::vector<float>{-7, 7, nan}, {1, 3, 1, 1});
  EXPECT_EQ(images_to_bytes(wild).to_vector<int64_t>(), (std::vector<int64_t>{0, 255, 0}));
}

}  // namespace
}  // namespace terrace
