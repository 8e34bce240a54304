// Zero-shot editing of an image by the official rule: in-painting, out-painting, class-conditional editing.
//
// The image is encoded to its own tokens. A mask over the finest grid says which cells are kept; at every scale a token
// is kept where the mask, resampled to that scale's grid, is above one half, and everywhere on the coarsest grids (up
// to 3 tokens). Kept tokens take the image's own embedding in place of the sampled one, so what is drawn elsewhere goes
// on from them (VAR, arXiv 2404.02905, section 5.3 and the authors' notebook).
//
//   const Tensor keep = kept_tokens(kept_cells(repaint, 16), pyramid);
//   const GivenTokens given = teacher_tokens(vqvae.images_to_indices(image), keep, count);
//   sample(model, vqvae.quantizer(), labels, seeds, options, {.given = &given});
#pragma once

#include "tensor/tensor.h"
#include "var/pyramid.h"
#include "var/transformer/sampler.h"

namespace terrace {

/// repaint: u8 (H, W), from 128 on = paint this pixel anew. Gives (side, side) f32 with 1 = keep: a cell is painted
/// anew where at least half of its pixels are. Throws ShapeError, DTypeError.
Tensor kept_cells(const Tensor& repaint, int64_t side);

/// mask: (P, P) f32 over the finest grid, 1 = keep. Gives (L) bool in the pyramid's token order: per scale of p x p
/// tokens bilinear(mask to p x p, align_corners = false) > 0.5, all of them where p p <= 3. Throws ShapeError.
Tensor kept_tokens(const Tensor& mask, const Pyramid& pyramid);

/// One image's tokens (1, L) and what of them is kept (L), for `count` samples of it.
GivenTokens teacher_tokens(const Tensor& indices, const Tensor& keep, int64_t count);

}  // namespace terrace
