// Samples images from a trained VAR transformer.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <set>
#include <vector>

#include "data/formats/npz.h"
#include "data/images/image_file.h"
#include "experiments/cli/options.h"
#include "experiments/cli/output_folder.h"
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
  bool evaluation = false, files = true, show_scales = false, resume = false, overwrite = false;
};

void declare(Options& options, Settings& s) {
  declare_models(options, s.models);
  options.group("Images");
  options.add("classes", s.classes, "numbers or names of classes, all, or none for unconditional images");
  options.add("count", s.count, "images of each class").at_least(1).needs_each(64);
  options.add("batch", s.batch, "images a batch; does not change them")
      .range(0, 1e9)
      .default_text("as many as have their keys and values in 1 GiB, at most 64");
  options.add("evaluation", s.evaluation,
              "as published figures were sampled: --count 50 --cfg 1.5 --top-k 900 --top-p 0.96; what is given stands");
  declare_sampling(options, s.sampling);
  options.group("Output");
  options.add("files", s.files, "a PNG file for each image, in OUT/images");
  options.add("npz", s.npz, "file for all images as the array arr_0 (N, H, W, 3) u8, which evaluators read")
      .default_text("none")
      .endings({".npz"});
  options.add("show-scales", s.show_scales, "a strip for each image in OUT/scales: what it is after every scale");
  options.add("resume", s.resume, "go on with a run into OUT that was interrupted").unrecorded();
  declare_overwrite(options, s.overwrite);
  options.add_common(s.common, "folder for grid.png, images/ and run.json, which lists them");
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

/// The files of the images, in their order; those of earlier versions lie in OUT itself.
struct ImageNames {
  std::vector<std::string> pictures, strips;  // relative to OUT
};

enum class Layout : uint8_t { kFolders, kFlat };

ImageNames names_of_images(const Settings& s, const Models& models, const std::vector<int64_t>& classes,
                           Layout layout = Layout::kFolders) {
  const bool flat = layout == Layout::kFlat;
  ImageNames names;
  for (int64_t i = 0; i < s.count * static_cast<int64_t>(classes.size()); ++i) {
    check_interrupt();
    const std::string stem = cat(file_stem(models.class_name(label_of(classes, i))), "-", padded_number(i));
    if (s.files) { names.pictures.push_back(cat(flat ? "" : "images/", stem, ".png")); }
    if (s.show_scales) { names.strips.push_back(flat ? stem + "-scales.png" : cat("scales/", stem, ".png")); }
  }
  return names;
}

OutputPlan plan_of(const Options& options, const ImageNames& names) {
  OutputPlan plan{.program = "sample",
                  .files = {"grid.png"},
                  .temporary = ImageStore::file_names(),
                  .resumable = true,
                  .inputs = options.inputs()};
  for (const auto* files : {&names.pictures, &names.strips}) {
    plan.files.insert(plan.files.end(), files->begin(), files->end());
  }
  return plan;
}

/// Whether a run of these images came to its end in OUT and left all that is asked for.
bool is_finished(const Settings& s, const Models& models, const std::vector<int64_t>& classes,
                 const std::optional<StoredRun>& run) {
  if (ImageStore::holds_run(s.common.out) || !run || !run->results.contains("drawn_from")) { return false; }
  const int64_t total = s.count * static_cast<int64_t>(classes.size());
  if (run->results.value("images", int64_t{0}) != total || run->results.value("npz", "") != s.npz) { return false; }
  const Layout layout = run->files ? Layout::kFolders : Layout::kFlat;
  const ImageNames names = names_of_images(s, models, classes, layout);
  const auto is_there = [&](const std::string& file) { return std::filesystem::exists(s.common.out + "/" + file); };
  return is_there("grid.png") && (s.npz.empty() || std::filesystem::exists(s.npz)) &&
         std::all_of(names.pictures.begin(), names.pictures.end(), is_there) &&
         std::all_of(names.strips.begin(), names.strips.end(), is_there);
}

/// Whether OUT tells which run it holds. The origin of files without run.json and without a key is not known.
bool holds_run(const Settings& s) {
  return ImageStore::holds_run(s.common.out) || std::filesystem::exists(s.common.out + "/run.json");
}

/// Throws ConfigError where the run in OUT is not one that this command goes on with: of other images, or of more.
void check_resumed(const Settings& s, const std::vector<int64_t>& classes, const OutputPlan& plan,
                   const OutputFolder& output) {
  const Json key = key_of(s, classes);
  if (ImageStore::holds_run(s.common.out)) {
    ImageStore::check_resumable(s.common.out, key);
  } else if (const auto& run = output.run_before(); run && run->results.contains("drawn_from")) {
    require_same_images(key, run->results["drawn_from"], s.common.out);
  }
  std::set<std::string> planned(plan.files.begin(), plan.files.end());
  planned.insert(plan.temporary.begin(), plan.temporary.end());
  for (const std::string& file : output.files_before()) {
    if (planned.contains(file)) { continue; }
    throw ConfigError(
        cat("--resume: the run in ", s.common.out, " has ", file, ", which this command does not write; ",
            "give --class-names, --count, --files and --show-scales as it did, or another folder with --out"));
  }
}

/// The npz is new, or that of the run that is gone on with.
OutputFile check_npz(const Settings& s, const Options& options, const OutputFolder& output) {
  OutputFile file(s.npz, s.overwrite || s.resume, "--npz", options.inputs());
  if (!s.resume) { return file; }
  const std::optional<StoredRun>& run = output.run_before();
  const bool own = run && run->configuration.value("npz", "") == s.npz;
  if (s.npz.empty() || own || !std::filesystem::exists(s.npz)) { return file; }
  throw ConfigError(cat(s.npz, " is there already, and is not of the run to resume; give another name with --npz"));
}

/// One run: image i is of class i mod C and has the seed `seed` + i, so that any range of them, and any split that
/// an evaluator makes of its file, holds all classes.
class Run {
 public:
  Run(const Settings& s, const Models& models, std::vector<int64_t> classes, ImageNames names)
      : s_(s),
        models_(models),
        classes_(std::move(classes)),
        names_(std::move(names)),
        total_(s.count * static_cast<int64_t>(classes_.size())),
        key_(key_of(s, classes_)),
        store_(s.common.out, key_, models.image_size(),
               s.resume ? ImageStore::Start::kResume : ImageStore::Start::kNew) {}

  void draw();
  void write_grid() const;
  void write_npz() const;
  void tell_classes(Json& results) const;
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
  void restore_files();
  std::string path(const std::string& file) const { return s_.common.out + "/" + file; }

  const Settings& s_;
  const Models& models_;
  std::vector<int64_t> classes_;
  ImageNames names_;
  int64_t total_;
  Json key_;
  ImageStore store_;
  int64_t drawn_ = 0;
  double token_seconds_ = 0, decode_seconds_ = 0;
};

void Run::draw() {
  restore_files();
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

/// What is in the store has its files: where they are not there (an earlier version had others), pictures are written
/// from the store, and images without a strip are drawn again.
void Run::restore_files() {
  for (int64_t i = 0; i < std::min(store_.size(), total_); ++i) {
    const auto at = static_cast<size_t>(i);
    if (s_.show_scales && !std::filesystem::exists(path(names_.strips[at]))) { return store_.truncate(i); }
    if (!s_.files || std::filesystem::exists(path(names_.pictures[at]))) { continue; }
    write_png(path(names_.pictures[at]), store_.read(i, i + 1).select(0, 0).contiguous());
  }
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
    const auto at = static_cast<size_t>(begin + k);
    if (s_.files) { write_png(path(names_.pictures[at]), drawn.images.select(0, k).contiguous()); }
    if (!s_.show_scales) { continue; }
    Shape shape = drawn.images.shape();
    shape[0] = static_cast<int64_t>(drawn.scales.size());
    Tensor strip = Tensor::empty(shape, DType::kU8);
    for (int64_t s = 0; s < shape[0]; ++s) {
      strip.select(0, s).copy_(drawn.scales[static_cast<size_t>(s)].select(0, k));
    }
    write_png(path(names_.strips[at]), captioned_grid(strip, captions, shape[0]));
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

/// The class of each image by number, -1 where it is drawn without one, and the names of these classes.
void Run::tell_classes(Json& results) const {
  results["labels"] = Json::array();
  results["class_names"] = Json::object();
  for (int64_t i = 0; i < total_; ++i) {
    results["labels"].push_back(label(i) < models_.num_classes() ? label(i) : int64_t{-1});
  }
  for (const int64_t c : classes_) {
    if (c < models_.num_classes()) { results["class_names"][cat(c)] = models_.class_name(c); }
  }
}

void report(const Run& run, const Settings& s, RunRecord& record, OutputFolder& output) {
  const double seconds = run.token_seconds() + run.decode_seconds();
  const auto drawn = static_cast<double>(run.drawn());
  Json& results = record.results();
  results["images"] = run.total();
  results["drawn_from"] = run.key();
  run.tell_classes(results);
  results["npz"] = s.npz;
  results["images_drawn_now"] = run.drawn();
  results["seconds"] = seconds;
  results["token_seconds"] = run.token_seconds();
  results["decode_seconds"] = run.decode_seconds();
  if (run.drawn() > 0) { results["images_per_second"] = drawn / seconds; }
  output.finish(record);
  std::printf("%s\n", output.path("grid.png").c_str());
  if (s.files) { std::printf("%s\n", output.path("images").c_str()); }
  if (s.show_scales) { std::printf("%s\n", output.path("scales").c_str()); }
  if (!s.npz.empty()) { std::printf("%s\n", s.npz.c_str()); }
  if (run.drawn() == 0) {
    std::printf("%lld images, sampled before\n", static_cast<long long>(run.total()));
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
  Options options("sample", "Samples images from a trained VAR transformer.");
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

  IfThere how = if_there(s.resume, s.overwrite);
  const Models models = open_models(s.models, device);
  const std::vector<int64_t> classes = chosen_classes(s, models);
  const int64_t total = images_in_all(s.count, classes.size());
  s.batch = fitting_batch(models, s.batch, total);
  ImageNames names = names_of_images(s, models, classes);
  OutputPlan plan = plan_of(options, names);
  if (s.resume && !holds_run(s)) {  // one begins
    how = IfThere::kRefuse;
    plan.resumable = false;
  }
  OutputFolder output(s.common.out, plan, how);
  const OutputFile npz = check_npz(s, options, output);
  if (s.resume) { check_resumed(s, classes, plan, output); }
  if (s.resume && is_finished(s, models, classes, output.run_before())) {
    std::printf("nothing is left to do: %s holds all %lld images\n", s.common.out.c_str(),
                static_cast<long long>(total));
    return;
  }
  if (!s.npz.empty()) { NpzWriter probe(s.npz); }  // a place that cannot be written to is found now, not in hours
  RunRecord record("sample", options.to_json(), s.common.seed);
  output.begin(record);
  Run sampling(s, models, classes, std::move(names));
  sampling.draw();
  sampling.write_grid();
  if (!s.npz.empty()) { sampling.write_npz(); }
  report(sampling, s, record, output);
  sampling.finish();
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
