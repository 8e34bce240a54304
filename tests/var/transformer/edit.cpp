// Editing: which tokens a mask keeps, and what the sampler makes of them.
#include "var/transformer/edit.h"

#include <algorithm>

#include "tests/support.h"
#include "tests/var/small_models.h"
#include "tests/var/transformer/one_thread.h"

namespace terrace {
namespace {

class Edit : public testing::Test, protected SmallModels {
 protected:
  static constexpr int64_t kCount = 3;

  Edit() { image = quantizer->f_to_indices(random_tensor({1, 4, 4, 4}, 5, -2, 2)); }
  Sampled draw(const SampleOptions& options, const GivenTokens* given) {
    return sample(*model, *quantizer, labels, {7, 8, 9}, options, {.given = given});
  }
  Sampled edit(const Tensor& mask, const SampleOptions& options = {.cfg = 1.5, .top_k = 20}) {
    const GivenTokens given = teacher_tokens(image, kept_tokens(mask, quantizer->pyramid()), kCount);
    return draw(options, &given);
  }
  Tensor image_times_count() const { return image.expand({kCount, image.dim(1)}).contiguous(); }

  OneThread one_thread;
  Tensor image;  // its tokens (1, L)
  const Tensor labels = Tensor::from(std::vector<int64_t>{0, 1, 2}, {kCount});
};

TEST_F(Edit, KeepingAllIsTheImagesOwnReconstruction) {
  const Sampled kept = edit(Tensor::full({4, 4}, 1));
  EXPECT_SAME(join_scales(kept.indices), image_times_count());
  EXPECT_SAME(kept.f_hat, quantizer->indices_to_f_hat(image_times_count()));
}

TEST_F(Edit, KeepingAllBeatsTheSmoothMix) {
  const Sampled kept = edit(Tensor::full({4, 4}, 1), {.cfg = 1.5, .smoothing = Smoothing::kOn});
  EXPECT_SAME(kept.f_hat, quantizer->indices_to_f_hat(image_times_count()));
}

TEST_F(Edit, KeepingNothingIsSamplingAfterTheCoarsestScales) {
  const Sampled edited = edit(Tensor::zeros({4, 4}));
  EXPECT_SAME(edited.indices[0], image_times_count().slice(1, 0, 1).contiguous());
  // Where an image begins with the token that is drawn first, nothing else is left of it.
  const SampleOptions options{.cfg = 1.5, .top_k = 20};
  const Sampled drawn = draw(options, nullptr);
  GivenTokens given = teacher_tokens(image, kept_tokens(Tensor::zeros({4, 4}), quantizer->pyramid()), kCount);
  given.indices.slice(1, 0, 1).copy_(drawn.indices[0]);
  const Sampled again = draw(options, &given);
  EXPECT_SAME(join_scales(again.indices), join_scales(drawn.indices));
  EXPECT_SAME(again.f_hat, drawn.f_hat);
}

TEST_F(Edit, KeptTokensAreTheImagesAndTheRestFollowsThem) {
  Tensor mask = Tensor::full({4, 4}, 1);
  mask.slice(1, 2, 4).zero_();  // the right half is inpainted
  const Tensor edited = join_scales(edit(mask).indices);
  const std::vector<int64_t> own = image.to_vector<int64_t>(), left = {0, 1, 3, 5, 6, 9, 10, 13, 14, 17, 18};
  for (int64_t b = 0; b < kCount; ++b) {
    const std::vector<int64_t> tokens = edited.select(0, b).to_vector<int64_t>();
    for (const int64_t t : left) { EXPECT_EQ(tokens[static_cast<size_t>(t)], own[static_cast<size_t>(t)]) << t; }
    EXPECT_NE(tokens, own);
  }
  // The draws of the last scale see the kept tokens of those before it: another image gives others.
  const Tensor first = edited.slice(1, 5, 21).contiguous();
  image = quantizer->f_to_indices(random_tensor({1, 4, 4, 4}, 6, -2, 2));
  EXPECT_NE(join_scales(edit(mask).indices).slice(1, 5, 21).to_vector<int64_t>(), first.to_vector<int64_t>());
}

TEST_F(Edit, ReproducibleEditsAreTheSame) {
  Tensor mask = Tensor::full({4, 4}, 1);
  mask.slice(0, 0, 2).zero_();
  const SampleOptions options{.cfg = 1.5, .top_k = 20};
  const GivenTokens given = teacher_tokens(image, kept_tokens(mask, quantizer->pyramid()), kCount);
  const Sampled together = draw(options, &given);
  const Sampled each = sample_reproducibly(*model, *quantizer, labels, {7, 8, 9}, options, {.given = &given});
  EXPECT_SAME(join_scales(each.indices), join_scales(together.indices));
}

TEST_F(Edit, RefusesWhatDoesNotFit) {
  const Pyramid& pyramid = quantizer->pyramid();
  expect_error<ShapeError>([&] { kept_tokens(Tensor::zeros({3, 4}), pyramid); }, "mask must be (4, 4), got (3, 4)");
  expect_error<DTypeError>([&] { kept_tokens(Tensor::zeros({4, 4}, DType::kU8), pyramid); }, "kept_tokens: mask");
  expect_error<DTypeError>([] { kept_cells(Tensor::zeros({4, 4}), 2); }, "kept_cells: repaint");
  const GivenTokens given = teacher_tokens(image, kept_tokens(Tensor::zeros({4, 4}), pyramid), 2);
  expect_error<ShapeError>([&] { draw({}, &given); }, "given indices must be (3, 21), got (2, 21)");
}

// The kept tokens as torch gives them: interpolate(mask, (p, p), mode="bilinear", align_corners=False) > 0.5, all of
// them at 1x1. One character a token, scale after scale.
struct MaskCase {
  const char* mask;  // 8x8, '#' is kept
  const char* kept;
};

TEST(KeptTokens, AreThoseOfTorch) {
  const MaskCase cases[] = {
      {"########"
       "########"
       "###....#"
       "###....#"
       "###....#"
       "###....#"
       "########"
       "########",
       "#"
       "#.#."
       "####..###"
       "#####...#...####"
       "#######..###..###..######"
       "#########..###...###...####..#######"
       "###################....####....####....####....#################"},
      {"####...."
       "####...."
       "####...."
       "####...."
       "####...."
       "####...."
       "####...."
       "####....",
       "#"
       "#.#."
       "#..#..#.."
       "##..##..##..##.."
       "##...##...##...##...##..."
       "###...###...###...###...###...###..."
       "####....####....####....####....####....####....####....####...."},
      {"######.."
       "#.#.####"
       "#....#.#"
       "#######."
       "########"
       "####.###"
       "#..##..."
       "#..#.###",
       "#"
       ".#.."
       ".#####.#."
       "###.#.#.####...."
       "####.#..#############.###"
       "#####.#..########.#######.#...#.#.##"
       "######..#.#.#####....#.########.############.####..##...#..#.###"},
      {"........"
       ".######."
       ".######."
       ".##.###."
       ".######."
       ".######."
       ".######."
       "........",
       "#"
       "####"
       "#########"
       ".....##..##....."
       "......###..###..###......"
       ".......####..#.##..####..####......."
       ".........######..######..##.###..######..######..######........."},
  };
  const Pyramid pyramid({1, 2, 3, 4, 5, 6, 8});
  for (const MaskCase& c : cases) {
    Tensor mask = Tensor::empty({8, 8});
    for (int64_t i = 0; i < 64; ++i) { mask.data<float>()[i] = c.mask[i] == '#' ? 1.0F : 0.0F; }
    const Tensor keep = kept_tokens(mask, pyramid);
    std::string text;
    for (int64_t t = 0; t < keep.numel(); ++t) { text += keep.data<bool>()[t] ? '#' : '.'; }
    EXPECT_EQ(text, c.kept);
  }
}

TEST(KeptCells, ArePaintedAnewFromOneHalfOn) {
  Tensor repaint = Tensor::zeros({4, 6}, DType::kU8);
  repaint.slice(0, 0, 2).slice(1, 0, 1).fill_(255);  // 2 of the 6 pixels of the first cell
  EXPECT_SAME(kept_cells(repaint, 2), Tensor::full({2, 2}, 1));
  repaint.slice(0, 0, 1).slice(1, 1, 2).fill_(128);  // 3 of 6
  repaint.slice(0, 2, 4).slice(1, 3, 6).fill_(127);  // grey that is still black
  const Tensor cells = kept_cells(repaint, 2);
  EXPECT_EQ(cells.to_vector<double>(), (std::vector<double>{0, 1, 1, 1}));
}

}  // namespace
}  // namespace terrace
