#include "var/transformer/edit.h"

#include "autograd/ops/interpolate.h"

namespace terrace {

Tensor kept_cells(const Tensor& repaint, int64_t side) {
  check_dtype(repaint, DType::kU8, "kept_cells", "repaint");
  check_ndim(repaint, 2, "kept_cells", "repaint");
  const int64_t H = repaint.dim(0), W = repaint.dim(1);
  const Tensor pixels = repaint.contiguous();
  Tensor marked = Tensor::empty({1, 1, H, W});
  for (int64_t i = 0; i < H * W; ++i) { marked.data<float>()[i] = pixels.data<uint8_t>()[i] >= 128 ? 1.0F : 0.0F; }
  Tensor keep = interpolate(marked, side, side, Interpolation::kArea).reshape({side, side}).clone();
  for (int64_t i = 0; i < side * side; ++i) { keep.data<float>()[i] = keep.data<float>()[i] >= 0.5F ? 0.0F : 1.0F; }
  return keep;
}

Tensor kept_tokens(const Tensor& mask, const Pyramid& pyramid) {
  constexpr int64_t kMaxKeptWhole = 3;  // tokens of a scale that is kept as a whole
  const int64_t P = pyramid.largest();
  check_dtype(mask, DType::kF32, "kept_tokens", "mask");
  check_shape(mask, {P, P}, "kept_tokens", "mask");
  Tensor keep = Tensor::empty({pyramid.length()}, DType::kBool);
  for (int64_t s = 0; s < pyramid.scales(); ++s) {
    const int64_t p = pyramid.patch(s);
    const Tensor share = interpolate(mask.reshape({1, 1, P, P}), p, p, Interpolation::kBilinear).contiguous();
    for (int64_t t = 0; t < p * p; ++t) {
      keep.data<bool>()[pyramid.begin(s) + t] = p * p <= kMaxKeptWhole || share.data<float>()[t] > 0.5F;
    }
  }
  return keep;
}

GivenTokens teacher_tokens(const Tensor& indices, const Tensor& keep, int64_t count) {
  const int64_t L = keep.dim(0);
  check_shape(keep, {L}, "teacher_tokens", "keep");
  check_shape(indices, {1, L}, "teacher_tokens", "indices");
  return {indices.expand({count, L}).contiguous(), keep.unsqueeze(0).expand({count, L}).contiguous()};
}

}  // namespace terrace
