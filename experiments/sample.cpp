// Draws images from a trained VAR transformer.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "data/formats/npz.h"
#include "data/images/image_file.h"
#include "experiments/cli/options.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "experiments/report/caption.h"
#include "experiments/sampling/generation.h"
#include "experiments/sampling/image_store.h"

namespace terrace {
namespace {

struct Settings {
  CommonOptions common;
  ModelOptions models;
  SamplingOptions sampling;
  std::vector<std::string> classes = {"all"};
  int64_t count = 8, batch = 0;
  std::string npz;
  bool evaluation = false, files = true, show_scales = false, resume = false;
};

void declare(Options& options, Settings& s) {
  declare_models(options, s.models);
  options.group("Images");
  options.add("classes", s.classes, "class numbers or names, all, or none for images without a class");
  options.add("count", s.count, "images of each class").at_least(1);
  options.add("batch", s.batch, "images at a time; does not change them")
      .at_least(0)
      .default_text("as many as have their keys and values in 1 GiB, at most 64");
  options.add("evaluation", s.evaluation,
              "the usual protocol: 50 images of each class, cfg 1.5, top-k 900, top-p 0.96, where not given otherwise");
  declare_sampling(options, s.sampling);
  options.group("Output");
  options.add("files", s.files, "a PNG file for each image beside the grid");
  options.add("npz", s.npz, "file for all images as the array arr_0 (N, H, W, 3) u8, which evaluators read");
  options.add("show-scales", s.show_scales, "a strip for each image: what it is after every scale");
  options.add("resume", s.resume, "go on with a run into OUT that was interrupted");
  options.add_common(s.common, "folder for grid.png, the images and run.json");
}

/// What the published figures are measured with; an option that was given stands.
void apply_evaluation(const Options& options, Settings& s) {
  if (!s.evaluation) { return; }
  if (!options.given("count")) { s.count = 50; }
  if (!options.given("cfg")) { s.sampling.values.cfg = 1.5; }
  if (!options.given("top-k")) { s.sampling.values.top_k = 900; }
  if (!options.given("top-p")) { s.sampling.values.top_p = 0.96; }
}

std::vector<int64_t> chosen_classes(const Settings& s, const Models& models) {
  std::vector<int64_t> chosen;
  for (const std::string& text : s.classes) {
    if (text != "all") {
      chosen.push_back(models.class_of(text, "--classes"));
      continue;
    }
    for (int64_t c = 0; c < models.num_classes(); ++c) { chosen.push_back(c); }
  }
  if (chosen.empty()) { throw ConfigError("--classes: names no class"); }
  return chosen;
}

/// What an image depends on beside its number.
Json key_of(const Settings& s, const std::vector<int64_t>& classes) {
  const SampleOptions& v = s.sampling.values;
  return {{"weights", identity_of(s.models)},
          {"seed", s.common.seed},
          {"classes", classes},
          {"cfg", v.cfg},
          {"top-k", v.top_k},
          {"top-p", v.top_p},
          {"more-smooth", s.sampling.more_smooth},
          {"reproducible", s.sampling.reproducible}};
}

int64_t label_of(const std::vector<int64_t>& classes, int64_t i) {
  return classes[static_cast<size_t>(i) % classes.size()];
}

/// The files of image i, without their endings.
std::string path_of(const Settings& s, const Models& models, int64_t label, int64_t i) {
  return cat(s.common.out, "/", file_stem(models.class_name(label)), "-", padded_number(i));
}

/// Whether a run of these images came to its end in OUT and left all that is asked for. Throws ConfigError where it was
/// one of others.
bool is_finished(const Settings& s, const Models& models, const std::vector<int64_t>& classes) {
  if (ImageStore::holds_run(s.common.out)) { return false; }
  const Json results = recorded_results(s.common.out);
  if (!results.contains("drawn_from")) { return false; }
  require_same_images(key_of(s, classes), results["drawn_from"], s.common.out);
  const int64_t total = s.count * static_cast<int64_t>(classes.size());
  if (results["images"] != total || results["npz"] != s.npz) { return false; }
  std::vector<std::string> files = {s.common.out + "/grid.png"};
  if (!s.npz.empty()) { files.push_back(s.npz); }
  for (int64_t i = 0; i < total; ++i) {
    const std::string name = path_of(s, models, label_of(classes, i), i);
    if (s.files) { files.push_back(name + ".png"); }
    if (s.show_scales) { files.push_back(name + "-scales.png"); }
  }
  return std::all_of(files.begin(), files.end(), [](const std::string& f) { return std::filesystem::exists(f); });
}

/// One run: image i is of class i mod C and has the seed `seed` + i, so that any range of them, and any split that
/// an evaluator makes of its file, holds all classes.
class Run {
 public:
  Run(const Settings& s, const Models& models, std::vector<int64_t> classes)
      : s_(s),
        models_(models),
        classes_(std::move(classes)),
        total_(s.count * static_cast<int64_t>(classes_.size())),
        key_(key_of(s, classes_)),
        store_(s.common.out, key_, models.image_size(),
               s.resume ? ImageStore::Start::kResume : ImageStore::Start::kNew) {}

  void draw();
  void write_grid() const;
  void write_npz() const;
  void finish() { store_.remove(); }

  int64_t total() const { return total_; }
  const Json& key() const { return key_; }
  int64_t drawn() const { return drawn_; }                               // by this process
  const Sampler* sampler() const { return models_.kept_sampler.get(); }  // null where none was needed
  double token_seconds() const { return token_seconds_; }
  double decode_seconds() const { return decode_seconds_; }

 private:
  int64_t label(int64_t i) const { return label_of(classes_, i); }
  void draw_batch(int64_t begin, int64_t end, Progress& progress);
  void write_files(const Drawn& drawn, int64_t begin) const;
  std::string name_of(int64_t i) const { return path_of(s_, models_, label(i), i); }

  const Settings& s_;
  const Models& models_;
  std::vector<int64_t> classes_;
  int64_t total_;
  Json key_;
  ImageStore store_;
  int64_t drawn_ = 0;
  double token_seconds_ = 0, decode_seconds_ = 0;
};

void Run::draw() {
  // A batch that was cut short is drawn again as a whole: its images are then those of an uninterrupted run.
  store_.truncate(store_.size() < total_ ? store_.size() / s_.batch * s_.batch : total_);
  Progress progress("sample", total_, "images");
  progress.start(store_.size());
  while (store_.size() < total_) {
    const int64_t begin = store_.size();
    try {
      draw_batch(begin, std::min(total_, begin + s_.batch), progress);
    } catch (const Interrupted&) {
      throw Interrupted(
          cat("interrupted after ", begin, " of ", total_, " images; add --resume to the same command to go on"));
    }
    progress.update(store_.size());
  }
  progress.finish();
}

void Run::draw_batch(int64_t begin, int64_t end, Progress& progress) {
  DrawRequest request;
  request.poll = &check_interrupt;
  request.progress = &progress;
  request.f_hats = s_.show_scales ? FHats::kEveryScale : FHats::kLast;
  for (int64_t i = begin; i < end; ++i) {
    request.labels.push_back(label(i));
    request.seeds.push_back(s_.common.seed + static_cast<uint64_t>(i));
  }
  const Drawn drawn = draw_images(models_, s_.sampling, request);
  check_interrupt();
  write_files(drawn, begin);
  store_.append(drawn.images);  // last: what is in the store has its files
  drawn_ += end - begin;
  token_seconds_ += drawn.token_seconds;
  decode_seconds_ += drawn.decode_seconds;
}

void Run::write_files(const Drawn& drawn, int64_t begin) const {
  const std::vector<std::string> captions = scale_captions(models_.tokenizer->pyramid());
  for (int64_t k = 0; k < drawn.images.dim(0); ++k) {
    if (s_.files) { write_png(name_of(begin + k) + ".png", drawn.images.select(0, k).contiguous()); }
    if (!s_.show_scales) { continue; }
    Shape shape = drawn.images.shape();
    shape[0] = static_cast<int64_t>(drawn.scales.size());
    Tensor strip = Tensor::empty(shape, DType::kU8);
    for (int64_t s = 0; s < shape[0]; ++s) {
      strip.select(0, s).copy_(drawn.scales[static_cast<size_t>(s)].select(0, k));
    }
    write_png(name_of(begin + k) + "-scales.png", captioned_grid(strip, captions, shape[0]));
  }
}

/// Some images of each class: a row a class, or, with one image of each, several classes in a row.
void Run::write_grid() const {
  constexpr int64_t kColumns = 16, kRows = 32, kClassesInARow = 8;
  const auto classes = static_cast<int64_t>(classes_.size());
  const int64_t each = std::min(s_.count, kColumns);
  const int64_t rows = std::min(classes, each == 1 ? kRows * kClassesInARow : kRows);
  Tensor images = Tensor::empty({rows * each, models_.image_size(), models_.image_size(), 3}, DType::kU8);
  std::vector<std::string> captions;
  for (int64_t c = 0; c < rows; ++c) {
    for (int64_t j = 0; j < each; ++j) {
      const int64_t i = j * classes + c;
      images.slice(0, c * each + j, c * each + j + 1).copy_(store_.read(i, i + 1));
      captions.push_back(models_.class_name(label(i)));
    }
  }
  write_png(s_.common.out + "/grid.png", captioned_grid(images, captions, each == 1 ? kClassesInARow : each));
}

void Run::write_npz() const {
  NpzWriter npz(s_.npz);
  const int64_t side = models_.image_size();
  npz.begin("arr_0", DType::kU8, {total_, side, side, 3});
  for (int64_t begin = 0; begin < total_; begin += s_.batch) {
    check_interrupt();
    npz.append(store_.read(begin, std::min(total_, begin + s_.batch)));
  }
  npz.commit();
}

void report(const Run& run, const Settings& s, RunRecord& record) {
  const double seconds = run.token_seconds() + run.decode_seconds();
  const auto drawn = static_cast<double>(run.drawn());
  Json& results = record.results();
  results["images"] = run.total();
  results["drawn_from"] = run.key();
  results["npz"] = s.npz;
  results["images_drawn_now"] = run.drawn();
  results["seconds"] = seconds;
  results["token_seconds"] = run.token_seconds();
  results["decode_seconds"] = run.decode_seconds();
  if (run.drawn() > 0) { results["images_per_second"] = drawn / seconds; }
  record.write(s.common.out);
  std::printf("%s/grid.png\n", s.common.out.c_str());
  if (run.drawn() == 0) {
    std::printf("%lld images, drawn before\n", static_cast<long long>(run.total()));
    return;
  }
  if (const Sampler* sampler = run.sampler(); sampler != nullptr && !sampler->not_recorded().empty()) {
    std::printf("scales were launched one kernel at a time: %s\n", sampler->not_recorded().c_str());
  }
  std::printf("%lld images in %.2f s: tokens %.2f s, decoding %.2f s; %.2f images a second, start-up not counted\n",
              static_cast<long long>(run.drawn()), seconds, run.token_seconds(), run.decode_seconds(), drawn / seconds);
}

void run(int argc, char** argv) {
  Settings s;
  Options options("sample", "Draws images from a trained VAR transformer.");
  s.common.out = "runs/samples";
  declare(options, s);
  options.epilog(
      "  sample --checkpoint runs/var/checkpoint.h5 --tokenizer runs/vqvae/checkpoint.h5 --classes 0,3 --count 16\n"
      "  sample --checkpoint var_d16.pth --tokenizer vae_ch160v4096z32.pth --evaluation --npz samples.npz --no-files\n"
      "  sample --model var-d16 --random-weights 0 --classes 207 --count 1\n"
      "Image i of a run has the seed SEED + i and the class i mod the number of classes (docs/sampling.md).");
  options.parse(argc, argv);
  apply_evaluation(options, s);
  const Device device = s.common.apply();

  const Models models = open_models(s.models, device);
  const std::vector<int64_t> classes = chosen_classes(s, models);
  s.batch = fitting_batch(models, s.batch);
  if (s.resume && is_finished(s, models, classes)) {
    std::printf("nothing is left to do: %s holds all %lld images\n", s.common.out.c_str(),
                static_cast<long long>(s.count * static_cast<int64_t>(classes.size())));
    return;
  }
  make_folder(s.common.out);
  if (!s.npz.empty()) {
    NpzWriter probe(s.npz);  // a place that cannot be written to is found now, not in hours
  }
  RunRecord record("sample", options.to_json(), s.common.seed);
  Run sampling(s, models, classes);
  sampling.draw();
  sampling.write_grid();
  if (!s.npz.empty()) { sampling.write_npz(); }
  report(sampling, s, record);
  sampling.finish();
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
