// Images through the tokenizer and back: how much of a picture the tokens hold, in all and scale by scale.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "autograd/functions.h"
#include "data/datasets/image_source.h"
#include "data/files/atomic_file.h"
#include "data/files/json.h"
#include "data/images/image_file.h"
#include "data/images/pixels.h"
#include "data/images/resize.h"
#include "experiments/cli/options.h"
#include "experiments/cli/output_folder.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "experiments/evaluation/side_source.h"
#include "experiments/report/caption.h"
#include "experiments/sampling/generation.h"
#include "tensor/pointwise.h"
#include "tensor/reduce.h"
#include "var/weights/checkpoint.h"
#include "var/weights/load.h"

namespace terrace {
namespace {

struct Settings {
  CommonOptions common;
  std::vector<std::string> images;
  std::string tokenizer, split;
  std::vector<int64_t> patch_nums;
  int64_t limit = 0, batch = 16;
  bool files = true, show_scales = false, overwrite = false;
};

void declare(Options& options, Settings& s) {
  options.group("Images");
  options
      .add("images", s.images,
           "PNG and JPEG files, folders of them (of a run of sample, edit or reconstruct the images that its run.json "
           "lists), datasets (.h5), single images of these (data.h5/test/12); images of another size than the model's "
           "are centre-cropped to a square and resized")
      .positional()
      .required()
      .input();
  options.add("split", s.split, "split of datasets").metavar("NAME").default_text("the held-out one, else train");
  options
      .add("limit", s.limit,
           "images of each folder (the first by path) or dataset (a random subset, the same in every run), 0 for all")
      .at_least(0);
  options.group("Tokenizer");
  options
      .add("tokenizer", s.tokenizer,
           "weights of the tokenizer: the folder of a run of train_vqvae, its checkpoint.h5, .pth, .safetensors")
      .metavar("FILE|FOLDER")
      .required()
      .input();
  options.add("patch-nums", s.patch_nums, "sides of the scales in tokens, where the file does not tell them")
      .at_least(1)
      .default_text("the official one at 256 px");
  options.add("batch", s.batch, "images a batch").range(1, 1e9);
  options.group("Output");
  options.add("files", s.files, "a PNG file for each reconstruction, in OUT/images");
  options.add("show-scales", s.show_scales,
              "a strip for each image in OUT/scales, what its tokens up to every scale give; and the PSNR of each");
  declare_overwrite(options, s.overwrite);
  options.add_common(s.common, "folder for reconstruct.csv, reconstruct.json, grid.png, images/ and run.json");
}

/// What was measured of one image.
struct Row {
  std::string name;
  double mse = 0;                      // in [-1, 1]
  std::vector<double> residual_share;  // per scale: |f - f_hat_s|^2 / |f|^2, what the tokens so far leave
  std::vector<double> scale_mse;       // per scale, with --show-scales
};

/// Mean squared difference of two u8 pictures on the scale of [-1, 1].
double mse_of(const Tensor& a, const Tensor& b) {
  const Tensor difference = sub(images_to_float(a.unsqueeze(0)), images_to_float(b.unsqueeze(0)));
  return squared_norm(difference) / static_cast<double>(difference.numel());
}

/// The file of image i in a folder of OUT, relative to OUT.
std::string file_of_image(const char* folder, const ImageSource& source, int64_t i) {
  return cat(folder, "/", padded_number(i), "-", file_stem(std::filesystem::path(source.name(i)).stem().string()),
             ".png");
}

/// The paths that were given, where those of the images of a run take the place of its folder.
std::vector<std::string> paths_of_images(const Settings& s) {
  std::vector<std::string> paths;
  for (const std::string& path : s.images) {
    const std::optional<RunImages> run = images_of_run(path);
    if (!run) {
      paths.push_back(path);
      continue;
    }
    if (!run->others.empty()) { std::fprintf(stderr, "%s\n", left_out_text(path, path, *run).c_str()); }
    const auto all = static_cast<int64_t>(run->files.size());
    paths.insert(paths.end(), run->files.begin(), run->files.begin() + (s.limit > 0 ? std::min(s.limit, all) : all));
  }
  return paths;
}

OutputPlan plan_of(const Settings& s, const Options& options, const ImageSource& source) {
  OutputPlan plan{.program = "reconstruct",
                  .files = {"reconstruct.csv", "reconstruct.json", "grid.png"},
                  .inputs = options.inputs()};
  for (int64_t i = 0; i < source.size(); ++i) {
    if (s.files) { plan.files.push_back(file_of_image("images", source, i)); }
    if (s.show_scales) { plan.files.push_back(file_of_image("scales", source, i)); }
  }
  return plan;
}

class Reconstruction {
 public:
  Reconstruction(const Settings& s, const Vqvae& model, const ImageSource& source)
      : s_(s), model_(model), source_(source), side_(model.config().image_size()) {}

  void run();
  void write() const;
  double mean_psnr() const;
  Json results() const;

 private:
  void run_batch(int64_t begin, int64_t end);
  void write_strip(int64_t i, const Tensor& original, const std::vector<Tensor>& scales, int64_t k);
  void keep_for_grid(const Tensor& original, const Tensor& again, double psnr);
  std::string csv() const;

  const Settings& s_;
  const Vqvae& model_;
  const ImageSource& source_;
  int64_t side_;
  std::vector<Row> rows_;
  std::vector<Variable> grid_;  // (1, side, side, 3): original, reconstruction, original, ...
  std::vector<std::string> grid_captions_;
  std::vector<std::set<int64_t>> codes_;  // per scale: those in use
};

void Reconstruction::run() {
  codes_.resize(static_cast<size_t>(model_.pyramid().scales()));
  Progress progress("reconstruct", source_.size(), "images");
  for (int64_t begin = 0; begin < source_.size(); begin += s_.batch) {
    check_interrupt();
    run_batch(begin, std::min(source_.size(), begin + s_.batch));
    progress.update(static_cast<int64_t>(rows_.size()));
  }
  progress.finish();
}

void Reconstruction::run_batch(int64_t begin, int64_t end) {
  const NoGrad no_grad;
  const int64_t B = end - begin;
  Tensor originals = Tensor::empty({B, side_, side_, 3}, DType::kU8);
  for (int64_t k = 0; k < B; ++k) {
    originals.select(0, k).copy_(resize_and_crop(source_.image(begin + k), side_, ResizeFilter::kLanczos));
  }

  const Tensor f = model_.encode(Variable(images_to_float(originals).to(model_.device()))).value();
  const Tensor indices = model_.quantizer().f_to_indices(f);
  const std::vector<Tensor> f_hats = model_.quantizer().indices_to_f_hats(indices);
  std::vector<Tensor> scales;  // u8 (B, H, W, 3): after every scale, or the last alone
  for (size_t s = s_.show_scales ? 0 : f_hats.size() - 1; s < f_hats.size(); ++s) {
    scales.push_back(images_to_bytes(model_.f_hat_to_images(f_hats[s])));
  }
  const std::vector<Tensor> parts = split_scales(indices, model_.pyramid());
  for (size_t s = 0; s < parts.size(); ++s) {
    for (const int64_t code : parts[s].to_vector<int64_t>()) { codes_[s].insert(code); }
  }
  for (int64_t k = 0; k < B; ++k) {
    const Tensor original = originals.select(0, k).contiguous(), again = scales.back().select(0, k).contiguous();
    Row row{.name = source_.name(begin + k), .mse = mse_of(original, again), .residual_share = {}, .scale_mse = {}};
    const double energy = squared_norm(f.select(0, k).contiguous());
    for (const Tensor& f_hat : f_hats) {
      row.residual_share.push_back(squared_norm(sub(f.select(0, k), f_hat.select(0, k))) / energy);
    }
    if (s_.show_scales) {
      for (const Tensor& scale : scales) { row.scale_mse.push_back(mse_of(original, scale.select(0, k).contiguous())); }
      write_strip(begin + k, original, scales, k);
    }
    if (s_.files) { write_png(s_.common.out + "/" + file_of_image("images", source_, begin + k), again); }
    keep_for_grid(original, again, psnr_from_mse(row.mse));
    rows_.push_back(std::move(row));
  }
}

/// original | 1x1 | 2x2 | ... | the whole pyramid
void Reconstruction::write_strip(int64_t i, const Tensor& original, const std::vector<Tensor>& scales, int64_t k) {
  const auto count = static_cast<int64_t>(scales.size()) + 1;
  Tensor cells = Tensor::empty({count, side_, side_, 3}, DType::kU8);
  cells.select(0, 0).copy_(original);
  for (int64_t s = 1; s < count; ++s) { cells.select(0, s).copy_(scales[static_cast<size_t>(s - 1)].select(0, k)); }
  std::vector<std::string> captions = scale_captions(model_.pyramid());
  captions.insert(captions.begin(), "original");
  write_png(s_.common.out + "/" + file_of_image("scales", source_, i), captioned_grid(cells, captions, count));
}

void Reconstruction::keep_for_grid(const Tensor& original, const Tensor& again, double psnr) {
  constexpr size_t kPairs = 32;
  if (grid_captions_.size() == 2 * kPairs) { return; }
  grid_.emplace_back(original.unsqueeze(0));
  grid_.emplace_back(again.unsqueeze(0));
  char text[32];
  std::snprintf(text, sizeof text, "%.2f dB", psnr);
  grid_captions_.insert(grid_captions_.end(), {"original", text});
}

double Reconstruction::mean_psnr() const {
  double sum = 0;
  for (const Row& row : rows_) { sum += psnr_from_mse(row.mse); }
  return sum / static_cast<double>(rows_.size());
}

std::string Reconstruction::csv() const {
  std::string text = "image,psnr,mse";
  const std::vector<std::string> scales = scale_captions(model_.pyramid());
  for (const std::string& scale : scales) { text += ",residual_" + scale; }
  for (size_t s = 0; s_.show_scales && s < scales.size(); ++s) { text += ",psnr_" + scales[s]; }
  text += "\n";
  for (const Row& row : rows_) {
    std::string name = row.name;
    for (size_t at = 0; (at = name.find('"', at)) != std::string::npos; at += 2) { name.insert(at, "\""); }
    text += cat("\"", name, "\",", psnr_from_mse(row.mse), ",", row.mse);
    for (const double share : row.residual_share) { text += cat(",", share); }
    for (const double mse : row.scale_mse) { text += cat(",", psnr_from_mse(mse)); }
    text += "\n";
  }
  return text;
}

Json Reconstruction::results() const {
  const size_t scales = codes_.size();
  double mse = 0;
  std::vector<double> residual(scales), scale_psnr(s_.show_scales ? scales : 0);
  std::vector<int64_t> codes;
  for (const Row& row : rows_) {
    mse += row.mse / static_cast<double>(rows_.size());
    for (size_t s = 0; s < scales; ++s) { residual[s] += row.residual_share[s] / static_cast<double>(rows_.size()); }
    for (size_t s = 0; s < scale_psnr.size(); ++s) {
      scale_psnr[s] += psnr_from_mse(row.scale_mse[s]) / static_cast<double>(rows_.size());
    }
  }
  for (const auto& used : codes_) { codes.push_back(static_cast<int64_t>(used.size())); }
  Json json = {{"images", rows_.size()},
               {"mean_psnr", mean_psnr()},
               {"psnr_of_mean_mse", psnr_from_mse(mse)},
               {"patch_nums", model_.config().patch_nums},
               {"residual_share", residual},
               {"codes_in_use", codes}};
  if (s_.show_scales) { json["scale_psnr"] = scale_psnr; }
  return json;
}

void Reconstruction::write() const {
  write_file(s_.common.out + "/reconstruct.csv", csv());
  Json all = results();
  all["rows"] = Json::array();
  for (const Row& row : rows_) {
    Json one = {{"image", row.name}, {"psnr", psnr_from_mse(row.mse)}, {"residual_share", row.residual_share}};
    if (s_.show_scales) {
      one["scale_psnr"] = Json::array();
      for (const double mse : row.scale_mse) { one["scale_psnr"].push_back(psnr_from_mse(mse)); }
    }
    all["rows"].push_back(std::move(one));
  }
  write_file(s_.common.out + "/reconstruct.json", json_text(all, 2) + "\n");
  const Tensor cells = concat(grid_, 0).value();
  write_png(s_.common.out + "/grid.png", captioned_grid(cells, grid_captions_, 8));
}

void run(int argc, char** argv) {
  Settings s;
  Options options("reconstruct", "Sends images through the tokenizer and back; PSNR, residuals, a picture per scale.");
  s.common.out = "runs/reconstruct";
  declare(options, s);
  options.epilog(
      "  reconstruct dog.png cat.jpg --tokenizer vae_ch160v4096z32.pth --show-scales\n"
      "  reconstruct cifar100.h5 --limit 64 --tokenizer runs/vqvae/checkpoint.h5");
  options.parse(argc, argv);
  const Device device = s.common.apply();

  const std::shared_ptr<const ImageSource> source = open_image_sources(paths_of_images(s), s.split, s.limit);
  OutputFolder output(s.common.out, plan_of(s, options, *source), if_there(false, s.overwrite));
  WeightOptions weights;
  weights.patch_nums = s.patch_nums;
  const std::unique_ptr<Vqvae> model = load_vqvae(s.tokenizer, weights);
  model->to(device);
  RunRecord record("reconstruct", options.to_json(), s.common.seed);
  output.begin(record);
  Reconstruction reconstruction(s, *model, *source);
  reconstruction.run();
  reconstruction.write();
  record.results() = reconstruction.results();
  output.finish(record);
  std::printf("%s\n", output.path("reconstruct.csv").c_str());
  std::printf("%lld images, mean PSNR %.2f dB\n", static_cast<long long>(source->size()), reconstruction.mean_psnr());
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
