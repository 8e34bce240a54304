// Regenerates a part of an image: inpainting, outpainting, class-conditional editing, without training for it.
#include <algorithm>
#include <cstdio>
#include <vector>

#include "data/datasets/image_source.h"
#include "data/images/image_file.h"
#include "data/images/pixels.h"
#include "data/images/resize.h"
#include "experiments/cli/memory_bounds.h"
#include "experiments/cli/options.h"
#include "experiments/cli/output_folder.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "experiments/report/caption.h"
#include "experiments/sampling/generation.h"
#include "tensor/device/parallel.h"
#include "tensor/reduce.h"
#include "var/transformer/edit.h"

namespace terrace {
namespace {

struct Settings {
  CommonOptions common;
  ModelOptions models;
  SamplingOptions sampling;
  std::string image, mask, label = "none";
  std::vector<int64_t> box;
  bool invert_mask = false, outpaint = false, overwrite = false;
  int64_t count = 4, batch = 0;
};

void declare(Options& options, Settings& s) {
  declare_models(options, s.models);
  options.group("Edit");
  options
      .add("image", s.image,
           "PNG or JPEG, or an image of a dataset (data.h5/test/12); its middle square is resized to the model's size")
      .metavar("FILE")
      .required()
      .input();
  options.add("mask", s.mask, "PNG of the image's size: white is inpainted, black is kept").metavar("FILE").input();
  options.add("invert-mask", s.invert_mask, "white is kept, black is inpainted");
  options.add("box", s.box, "in place of --mask: inpaint the pixels x0 <= x < x1, y0 <= y < y1 of the image")
      .metavar("X0,Y0,X1,Y1");
  options.add("outpaint", s.outpaint, "keep the box and generate what is around it (outpainting)");
  options.add("class", s.label, "number or name of the class to generate, or none for no class").metavar("NAME");
  options.add("count", s.count, "results to sample; result i has the seed SEED + i").at_least(1).needs_each(64 + 3);
  options.add("batch", s.batch, "results a batch; does not change them")
      .range(0, 1e9)
      .default_text("as many as have their keys and values in 1 GiB, at most 64");
  declare_sampling(options, s.sampling);
  options.group("Output");
  declare_overwrite(options, s.overwrite);
  options.add_common(s.common, "folder for grid.png, images/ and run.json, which lists them");
}

/// u8 (H, W): 255 where the mask file says to inpaint.
Tensor mask_of_file(const Settings& s, const Tensor& image) {
  const Tensor picture = read_image(s.mask);
  const int64_t H = picture.dim(0), W = picture.dim(1);
  if (H != image.dim(0) || W != image.dim(1)) {
    throw ConfigError(cat("--mask: ", s.mask, " is ", W, "x", H, " pixels, the image is ", image.dim(1), "x",
                          image.dim(0), "; a mask is drawn over its image"));
  }
  Tensor repaint = Tensor::empty({H, W}, DType::kU8);
  const uint8_t* pixel = picture.data<uint8_t>();
  for (int64_t i = 0; i < H * W; ++i) {
    const bool white = pixel[3 * i] + pixel[3 * i + 1] + pixel[3 * i + 2] >= 3 * 128;
    repaint.data<uint8_t>()[i] = white != s.invert_mask ? 255 : 0;
  }
  return repaint;
}

Tensor mask_of_box(const Settings& s, const Tensor& image) {
  const int64_t H = image.dim(0), W = image.dim(1);
  const auto& b = s.box;
  if (b.size() != 4) { throw ConfigError(cat("--box: needs x0,y0,x1,y1, got ", b.size(), " numbers")); }
  if (b[0] < 0 || b[1] < 0 || b[2] > W || b[3] > H || b[0] >= b[2] || b[1] >= b[3]) {
    throw ConfigError(cat("--box: ", b[0], ",", b[1], ",", b[2], ",", b[3], " is no box inside of the image, which is ",
                          W, "x", H, " pixels"));
  }
  Tensor repaint = Tensor::full({H, W}, s.outpaint ? 255 : 0, DType::kU8);
  repaint.slice(0, b[1], b[3]).slice(1, b[0], b[2]).fill_(s.outpaint ? 0 : 255);
  return repaint;
}

/// u8 (H, W) of the whole image.
Tensor repaint_mask(const Settings& s, const Tensor& image) {
  if (s.mask.empty() == s.box.empty()) { throw ConfigError("give one of --mask MASK.png and --box x0,y0,x1,y1"); }
  if (s.outpaint && s.box.empty()) { throw ConfigError("--outpaint is for --box; a mask is turned by --invert-mask"); }
  if (s.invert_mask && s.mask.empty()) {
    throw ConfigError("--invert-mask is for --mask; a box is turned by --outpaint");
  }
  return s.mask.empty() ? mask_of_box(s, image) : mask_of_file(s, image);
}

/// The middle square at the model's size, as the image is cut.
Tensor cut_mask(const Tensor& repaint, int64_t size) {
  const int64_t H = repaint.dim(0), W = repaint.dim(1);
  const Tensor color = repaint.unsqueeze(2).expand({H, W, 3}).contiguous();
  return resize_and_crop(color, size, ResizeFilter::kBox).select(2, 0).contiguous();
}

/// The mask as the model sees it, at the image's size: white cells are inpainted.
Tensor mask_picture(const Tensor& cells, int64_t size) {
  const int64_t P = cells.dim(0);
  Tensor picture = Tensor::empty({size, size, 3}, DType::kU8);
  const float* keep = cells.data<float>();
  for (int64_t y = 0; y < size; ++y) {
    for (int64_t x = 0; x < size; ++x) {
      picture.select(0, y).select(0, x).fill_(keep[y * P / size * P + x * P / size] > 0 ? 0 : 255);
    }
  }
  return picture;
}

/// The image's tokens (1, L); on one thread where the run is reproducible.
Tensor tokens_of(const Settings& s, const Models& models, const Tensor& picture) {
  const Tensor pixels = images_to_float(picture.unsqueeze(0));
  if (!s.sampling.reproducible) { return models.tokenizer->images_to_indices(pixels); }
  Tensor tokens;
  each_on_one_thread(1, [&](int64_t) { tokens = models.tokenizer->images_to_indices(pixels); });
  return tokens;
}

/// What the tokenizer makes of these tokens alone: u8 (H, W, 3), the image that kept parts are at best.
Tensor reconstruction_of(const Settings& s, const Models& models, const Tensor& tokens) {
  const auto decode = [&] { return images_to_bytes(models.tokenizer->indices_to_images(tokens)).select(0, 0); };
  if (!s.sampling.reproducible) { return decode(); }
  Tensor picture;
  each_on_one_thread(1, [&](int64_t) { picture = decode(); });
  return picture;
}

/// Draws the results, u8 (count, H, W, 3); result i has the seed `seed` + i.
Drawn paint(const Settings& s, const Models& models, const Tensor& tokens, const Tensor& keep, int64_t label) {
  Progress progress("edit", s.count, "images");
  progress.start(0);
  Drawn all;
  all.images = Tensor::empty({s.count, models.image_size(), models.image_size(), 3}, DType::kU8);
  for (int64_t begin = 0; begin < s.count; begin += s.batch) {
    const int64_t end = std::min(s.count, begin + s.batch);
    const GivenTokens given = teacher_tokens(tokens, keep, end - begin);
    DrawRequest request{.labels = std::vector<int64_t>(static_cast<size_t>(end - begin), label),
                        .seeds = {},
                        .given = &given,
                        .poll = &check_interrupt,
                        .progress = &progress};
    for (int64_t i = begin; i < end; ++i) { request.seeds.push_back(s.common.seed + static_cast<uint64_t>(i)); }
    const Drawn part = draw_images(models, s.sampling, request);
    all.images.slice(0, begin, end).copy_(part.images);
    all.token_seconds += part.token_seconds;
    all.decode_seconds += part.decode_seconds;
    progress.update(end);
  }
  progress.finish();
  return all;
}

/// Result i, relative to OUT.
std::string picture_name(int64_t i) { return cat("images/edit-", padded_number(i), ".png"); }

OutputPlan plan_of(const Settings& s, const Options& options) {
  OutputPlan plan{.program = "edit", .files = {"grid.png"}, .inputs = options.inputs()};
  for (int64_t i = 0; i < s.count; ++i) {
    check_interrupt();
    plan.files.push_back(picture_name(i));
  }
  return plan;
}

/// What stands before the results in the grid.
struct Before {
  Tensor original, reconstruction, mask;  // u8 (H, W, 3)
};

/// original | reconstruction | mask | result 0 | result 1 | ...
void write_pictures(const Settings& s, const Before& before, const Tensor& results) {
  const int64_t size = before.original.dim(0), count = results.dim(0);
  Tensor cells = Tensor::empty({count + 3, size, size, 3}, DType::kU8);
  cells.select(0, 0).copy_(before.original);
  cells.select(0, 1).copy_(before.reconstruction);
  cells.select(0, 2).copy_(before.mask);
  cells.slice(0, 3, count + 3).copy_(results);
  std::vector<std::string> captions = {"original", "tokenizer's reconstruction", "mask"};
  for (int64_t i = 0; i < count; ++i) {
    captions.push_back(cat("seed ", s.common.seed + static_cast<uint64_t>(i)));
    write_png(s.common.out + "/" + picture_name(i), results.select(0, i).contiguous());
  }
  write_png(s.common.out + "/grid.png", captioned_grid(cells, captions, std::min<int64_t>(count + 3, 8)));
}

void run(int argc, char** argv) {
  Settings s;
  Options options("edit", "Regenerates a part of an image: inpainting, outpainting, class-conditional editing.");
  s.common.out = "runs/edit";
  declare(options, s);
  options.epilog(
      "  edit --image dog.png --mask mask.png --class 207 --checkpoint var_d16.pth --tokenizer vae.pth\n"
      "  edit --image dog.png --box 64,64,192,192 --outpaint --class 207 --count 8 ...\n"
      "Masks are reduced to the finest grid of tokens: a cell is inpainted where at least half of it is white.");
  options.parse(argc, argv);
  const Device device = s.common.apply();
  OutputFolder output(s.common.out, plan_of(s, options), if_there(false, s.overwrite));

  const auto of_dataset = open_dataset_image(s.image);
  const Tensor image = of_dataset ? of_dataset->image(0) : read_image(s.image);
  const Tensor repaint = repaint_mask(s, image);
  const Models models = open_models(s.models, device);
  s.batch = fitting_batch(models, s.batch, s.count);
  check_memory(3.0 * static_cast<double>(s.count) * static_cast<double>(models.image_size() * models.image_size()),
               cat("--count ", s.count), "--count");
  const int64_t label = models.class_of(s.label, "--class"), size = models.image_size();
  const Pyramid& pyramid = models.tokenizer->pyramid();
  const Tensor original = resize_and_crop(image, size, ResizeFilter::kLanczos);
  const Tensor cells = kept_cells(cut_mask(repaint, size), pyramid.largest());
  const auto all = static_cast<double>(cells.numel());
  const double kept = sum(cells).item<double>();
  if (kept == all) {
    throw ConfigError(cat(s.mask.empty() ? "--box" : "--mask", ": no cell of the ", pyramid.largest(), "x",
                          pyramid.largest(), " grid is at least half marked: nothing to inpaint"));
  }
  RunRecord record("edit", options.to_json(), s.common.seed);

  const Tensor tokens = tokens_of(s, models, original);
  const Drawn drawn = paint(s, models, tokens, kept_tokens(cells, pyramid), label);
  output.begin(record);
  write_pictures(s, {original, reconstruction_of(s, models, tokens), mask_picture(cells, size)}, drawn.images);
  record.results()["images"] = s.count;
  record.results()["repainted_share"] = 1 - kept / all;
  record.results()["token_seconds"] = drawn.token_seconds;
  record.results()["decode_seconds"] = drawn.decode_seconds;
  output.finish(record);
  std::printf("%s\n%s\n", output.path("grid.png").c_str(), output.path("images").c_str());
  std::printf("%lld images, %.0f %% inpainted: tokens %.2f s, decoding %.2f s\n", static_cast<long long>(s.count),
              100 * (1 - kept / all), drawn.token_seconds, drawn.decode_seconds);
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
