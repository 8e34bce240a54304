// Draws images from a trained VAR transformer.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include "data/image_file.h"
#include "data/loader.h"
#include "experiments/support/options.h"
#include "experiments/support/program.h"
#include "experiments/support/progress.h"
#include "experiments/support/report/image_grid.h"
#include "experiments/support/run_record.h"
#include "var/checkpoint.h"
#include "var/sampler.h"
#include "var/tokens.h"
#include "var/vqvae_trainer.h"

namespace terrace {
namespace {

struct Settings {
  CommonOptions common;
  std::string checkpoint, tokenizer;
  std::vector<std::string> classes = {"all"};
  int64_t count = 8, batch = 64;
  SampleOptions sampling{.cfg = 1.5, .top_k = 0, .top_p = 0.95};
  bool smooth = false, files = true;
};

void declare(Options& options, Settings& s) {
  options.group("Model");
  options.add("checkpoint", s.checkpoint, "checkpoint of train_var").required();
  options.add("tokenizer", s.tokenizer, "checkpoint of train_vqvae that it was trained with").required();
  options.group("Images");
  options.add("classes", s.classes, "class numbers or names, all, or none for images without a class");
  options.add("count", s.count, "images of each class").at_least(1);
  options.add("batch", s.batch, "images at a time; does not change them").at_least(1);
  options.add("files", s.files, "a PNG file for each image beside the grid");
  options.group("Sampling");
  options.add("cfg", s.sampling.cfg, "guidance at the last scale, rising from 0; 0: none, in half the time")
      .at_least(0);
  options.add("top-k", s.sampling.top_k, "keep the k most probable codes, 0 for all; 1 is greedy").at_least(0);
  options.add("top-p", s.sampling.top_p, "keep the most probable codes up to this probability, 0 for all").range(0, 1);
  options.add("smooth", s.smooth, "mix codes by Gumbel-softmax instead of choosing: smoother, not a true draw");
  options.add_common(s.common, "folder for grid.png, the images and run.json");
}

/// The class of a number or a name; num_classes for "none".
int64_t class_of(const std::string& text, const LoadedTransformer& loaded) {
  const int64_t classes = loaded.model->config().num_classes;
  if (text == "none") return classes;
  const auto& names = loaded.class_names;
  const auto found = std::find(names.begin(), names.end(), text);
  if (found != names.end()) return found - names.begin();
  const bool digits = !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos;
  if (digits && std::stoll(text) < classes) return std::stoll(text);
  const std::string near = nearest_name(text, names);
  throw ConfigError(cat("--classes: '", text, "' is neither a class name",
                        near.empty() ? "" : cat(" (near: ", near, ")"), " nor a number below ", classes));
}

std::vector<int64_t> chosen_classes(const Settings& s, const LoadedTransformer& loaded) {
  std::vector<int64_t> chosen;
  for (const std::string& text : s.classes) {
    if (text != "all") {
      chosen.push_back(class_of(text, loaded));
      continue;
    }
    for (int64_t c = 0; c < loaded.model->config().num_classes; ++c) chosen.push_back(c);
  }
  return chosen;
}

std::string class_name(int64_t c, const LoadedTransformer& loaded) {
  if (c == loaded.model->config().num_classes) return "none";
  const auto at = static_cast<size_t>(c);
  return at < loaded.class_names.size() ? loaded.class_names[at] : std::to_string(c);
}

/// A name without what file systems mind.
std::string file_stem(std::string name) {
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_') c = '_';
  }
  return name;
}

/// u8 (N, H, W, 3). Image i has the seed `seed` + i.
Tensor draw(const Settings& s, VarTransformer& model, Vqvae& tokenizer, const std::vector<int64_t>& labels) {
  const auto total = static_cast<int64_t>(labels.size());
  Progress progress("sample", total, "images");
  Tensor images;
  for (int64_t begin = 0; begin < total; begin += s.batch) {
    check_interrupt();
    const int64_t end = std::min(total, begin + s.batch);
    const Tensor part = Tensor::from(
        std::span<const int64_t>(labels).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)),
        {end - begin});
    std::vector<uint64_t> seeds;
    for (int64_t i = begin; i < end; ++i) seeds.push_back(s.common.seed + static_cast<uint64_t>(i));
    const Sampled sampled = sample(model, tokenizer.quantizer(), part, seeds, s.sampling);
    const Tensor bytes = images_to_bytes(tokenizer.f_hat_to_images(sampled.f_hat));
    if (!images.defined()) images = Tensor::empty({total, bytes.dim(1), bytes.dim(2), 3}, DType::kU8);
    images.slice(0, begin, end).copy_(bytes);
    progress.update(end);
  }
  progress.finish();
  return images;
}

void run(int argc, char** argv) {
  Settings s;
  Options options("sample", "Draws images from a trained VAR transformer.");
  s.common.out = "runs/samples";
  declare(options, s);
  options.epilog(
      "  sample --checkpoint runs/var/checkpoint.h5 --tokenizer runs/vqvae/checkpoint.h5 --classes 0,3 --count 16");
  options.parse(argc, argv);
  s.common.apply();
  s.sampling.smoothing = s.smooth ? Smoothing::kOn : Smoothing::kOff;

  LoadedTransformer loaded = load_transformer(s.checkpoint);
  const std::unique_ptr<Vqvae> tokenizer = load_vqvae(s.tokenizer);
  if (!loaded.tokenizer_hash.empty() && loaded.tokenizer_hash != content_hash(*tokenizer)) {
    throw ConfigError(cat(s.checkpoint, " was trained on the tokens of another tokenizer than ", s.tokenizer));
  }
  std::vector<int64_t> labels;
  for (const int64_t c : chosen_classes(s, loaded)) labels.insert(labels.end(), static_cast<size_t>(s.count), c);
  make_folder(s.common.out);
  RunRecord record("sample", options.to_json(), s.common.seed);

  const auto start = std::chrono::steady_clock::now();
  const Tensor images = draw(s, *loaded.model, *tokenizer, labels);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  GridOptions grid;
  grid.columns = std::min<int64_t>(s.count, 16);
  write_png(s.common.out + "/grid.png", image_grid(images, grid));
  for (int64_t i = 0; s.files && i < images.dim(0); ++i) {
    const std::string number = std::to_string(i);
    write_png(cat(s.common.out, "/", file_stem(class_name(labels[static_cast<size_t>(i)], loaded)), "-",
                  std::string(number.size() < 4 ? 4 - number.size() : 0, '0'), number, ".png"),
              images.select(0, i).contiguous());
  }
  record.results()["images"] = images.dim(0);
  record.results()["seconds"] = seconds;
  record.results()["images_per_second"] = static_cast<double>(images.dim(0)) / seconds;
  record.write(s.common.out);
  std::printf("%lld images in %s (%.1f a second)\n%s/grid.png\n", static_cast<long long>(images.dim(0)),
              format_duration(seconds).c_str(), static_cast<double>(images.dim(0)) / seconds, s.common.out.c_str());
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
