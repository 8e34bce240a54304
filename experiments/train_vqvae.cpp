// Trains a multi-scale VQVAE tokenizer on an image dataset.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include "data/datasets/subset.h"
#include "data/files/atomic_file.h"
#include "data/images/image_file.h"
#include "data/images/pixels.h"
#include "experiments/cli/options.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "experiments/evaluation/frechet_evaluator.h"
#include "experiments/report/image_grid.h"
#include "var/presets.h"
#include "var/training/curves.h"
#include "var/training/vqvae_trainer.h"
#include "var/weights/load.h"

namespace terrace {
namespace {

struct Settings {
  CommonOptions common;
  std::string data, preset = "vqvae-32px";
  bool resume = false;
  EvaluatorOptions evaluator;
  VqvaeConfig model = vqvae_preset(preset);
  VqvaeTrainOptions training;
};

void declare(Options& options, Settings& s) {
  VqvaeTrainOptions& t = s.training;
  options.group("Data");
  options.add("data", s.data, "image dataset (HDF5, from prepare_data)").required();
  options.group("Training");
  options.add("steps", t.steps, "optimizer steps").at_least(1);
  options.add("batch", t.batch, "images per step").at_least(1);
  options.add("lr", t.lr, "peak learning rate").positive();
  options.add("final-lr", t.final_lr, "share of it that is left at the end").range(0, 1);
  options.add("warmup", t.warmup, "steps of linear warm-up").at_least(0);
  options.add("weight-decay", t.weight_decay, "decoupled weight decay").at_least(0);
  options.add("clip", t.clip, "largest gradient norm, 0 for any").at_least(0);
  options.add("l1", t.l1_weight, "weight of the absolute error").at_least(0);
  options.add("edge", t.edge_weight, "weight of the error of neighbouring pixels' differences").at_least(0);
  options.add("vq", t.vq_weight, "weight of the quantizer's loss").at_least(0);
  options.add("ema", t.ema_decay, "decay of averaged weights, 0 for none").range(0, 0.999999);
  options.add("init-iterations", t.init_iterations, "k-means rounds for the first codes, 0 for random ones")
      .at_least(0);
  options.add("revive-after", t.revive_after, "steps after which an unused code is moved, 0 for never").at_least(0);
  options.group("Tokenizer");
  options.add("model", s.preset, "a tokenizer by name; what is given beside it stands")
      .choices(vqvae_preset_names())
      .preset([&s](const std::string& name) { s.model = vqvae_preset(name); });
  options.add("ch", s.model.ch, "channels of the finest level").at_least(1);
  options.add("ch-mult", s.model.ch_mult, "multiple of it per level; each further level halves the map");
  options.add("num-res-blocks", s.model.num_res_blocks, "residual blocks per level").at_least(1);
  options.add("z-channels", s.model.z_channels, "channels of the latent map").at_least(1);
  options.add("vocab", s.model.vocab_size, "codes").at_least(1);
  options.add("patch-nums", s.model.patch_nums, "side of every scale");
  options.add("norm-groups", s.model.norm_groups, "groups of the group norms").at_least(1);
  options.add("share-quant-resi", s.model.share_quant_resi, "phis: 0 one per scale, else so many").at_least(0);
  options.add("quant-resi", s.model.quant_resi, "share of the convolution in phi").range(-1, 1);
  options.add("beta", s.model.beta, "weight of the commitment loss").at_least(0);
  options.add("znorm", s.model.using_znorm, "nearest code by cosine");
  options.add("attention", s.model.using_sa, "attention at the coarsest level");
  options.add("middle-attention", s.model.using_mid_sa, "attention in the middle");
  options.add("dropout", s.model.dropout, "in residual blocks").range(0, 0.99);
  options.group("Run");
  options.add("resume", s.resume, "go on from OUT/checkpoint.h5");
  options.add("checkpoint-every", t.checkpoint_every, "steps between checkpoints, 0 for the end only").at_least(0);
  options.add("evaluate-every", t.evaluate_every, "steps between evaluations, 0 for the end only").at_least(0);
  options.add("evaluate-images", t.evaluate_images, "held-out images to evaluate on").at_least(0);
  s.evaluator.declare(
      options, "held-out images that the Frechet distance of reconstructions is measured on at the end; 0: it is not");
  options.add("log-every", t.log_every, "steps between rows of curves.csv").at_least(1);
  options.add("workers", t.workers, "threads that prepare batches").range(0, 64);
  options.add_common(s.common, "folder for checkpoint.h5, curves.csv, recon.png and run.json");
}

// Rows of pictures, each followed by the row of their reconstructions.
void write_reconstructions(const std::string& path, const Vqvae& model, const ImageDataset& images) {
  constexpr int64_t kColumns = 8, kRows = 4;
  const std::vector<int64_t> rows = part_of(images.size(), kColumns * kRows);
  const auto count = static_cast<int64_t>(rows.size());
  const Tensor originals = images.images(rows);
  const Tensor again = images_to_bytes(model.reconstruct(images_to_float(originals)));
  Shape shape = originals.shape();
  shape[0] = 2 * count;
  Tensor all = Tensor::empty(shape, DType::kU8);
  for (int64_t begin = 0; begin < count; begin += kColumns) {
    const int64_t end = std::min(begin + kColumns, count), row = end - begin;
    all.slice(0, 2 * begin, 2 * begin + row).copy_(originals.slice(0, begin, end));
    all.slice(0, 2 * begin + row, 2 * end).copy_(again.slice(0, begin, end));
  }
  GridOptions grid;
  grid.columns = kColumns;
  write_png(path, image_grid(all, grid));
}

void print_result(const VqvaeEvaluation& e, const std::string& split) {
  std::printf("PSNR %.2f dB over %lld images of split %s, %.0f %% of the codes used\n", e.psnr,
              static_cast<long long>(e.images), split.c_str(), 100 * e.codes_used);
  std::printf("codes in use per scale (perplexity):");
  for (const double value : e.perplexity) { std::printf(" %.0f", value); }
  std::printf("\n");
}

void keep_results(RunRecord& record, const VqvaeTrainer& trainer, const Vqvae& model) {
  Json& results = record.results();
  results["steps"] = trainer.steps_done();
  results["parameters"] = model.parameter_count();
  if (!trainer.log().empty()) {
    results["loss"] = trainer.log().back().loss;
    results["mse"] = trainer.log().back().mse;
    results["seconds_per_step"] = trainer.log().back().seconds_per_step;
  }
  if (trainer.evaluations().empty()) { return; }
  const VqvaeEvaluation& e = trainer.evaluations().back();
  results["psnr"] = e.psnr;
  results["evaluated_images"] = e.images;
  results["codes_used"] = e.codes_used;
  results["usage"] = e.usage;
  results["perplexity"] = e.perplexity;
}

/// Whether a resumed run had come to its end with all that is asked for.
bool is_finished(const Settings& s, const VqvaeTrainer& trainer) {
  const Json results = recorded_results(s.common.out);
  return trainer.steps_done() == s.training.steps && results.value("steps", 0) == s.training.steps &&
         (s.evaluator.images == 0 || results.contains("frechet"));
}

void parse(Options& options, Settings& s, int argc, char** argv) {
  s.common.out = "runs/vqvae";
  declare(options, s);
  options.epilog(
      "The defaults are the 32 px preset: f4, 8x8 latents, 155 tokens.\n"
      "  train_vqvae --data procedural.h5 --out runs/vqvae\n"
      "  train_vqvae --data procedural.h5 --out runs/vqvae --resume");
  options.parse(argc, argv);
}

VqvaeTrainCallbacks callbacks_of(const Settings& s, Progress& progress) {
  VqvaeTrainCallbacks callbacks;
  const auto psnr = std::make_shared<double>(0);
  callbacks.record = [psnr](const VqvaeStepRecord& r) { *psnr = r.psnr; };
  callbacks.progress = [&s, &progress, psnr](int64_t done, int64_t, double loss) {
    progress.update(done, {{"loss", loss}, {"psnr", *psnr}});
    if (interrupted() && done < s.training.steps) {
      throw Interrupted(cat("interrupted after step ", done, "; add --resume to the same command to go on"));
    }
  };
  return callbacks;
}

/// Measures the Frechet distance of reconstructions, where it is asked for; the line that says it.
std::string measure_distance(const Settings& s, Vqvae& model, const ImageDataset& held_out, RunRecord& record) {
  if (s.evaluator.images == 0) { return ""; }
  const SampleEvaluator evaluator(model, held_out, s.evaluator);
  record.results()["frechet"] = {{"name", evaluator.frechet().name()},
                                 {"about", evaluator.frechet().about()},
                                 {"reconstructions", evaluator.distance_of_reconstructions()},
                                 {"images", evaluator.frechet().reference_images()}};
  return cat(evaluator.frechet().name(), ": ", format_number(evaluator.distance_of_reconstructions()),
             " of the reconstructions of ", evaluator.frechet().reference_images(), " images\n");
}

void train(int argc, char** argv) {
  Settings s;
  Options options("train_vqvae", "Trains a multi-scale VQVAE tokenizer on an image dataset.");
  parse(options, s, argc, argv);
  const Device device = s.common.apply();
  s.training.seed = s.common.seed;
  make_folder(s.common.out);
  s.training.checkpoint_path = s.common.out + "/checkpoint.h5";

  const ImageDataset images = ImageDataset::open(s.data, "train");
  const ImageDataset held_out = open_held_out(s.data).value_or(images);
  const bool has_held_out = held_out.split() != images.split();
  RunRecord record("train_vqvae", options.to_json(), s.common.seed);

  Vqvae model(s.model);
  model.to(device);
  Progress progress("tokenizer", s.training.steps);
  VqvaeTrainer trainer(model, images, &held_out, s.training, callbacks_of(s, progress));
  if (s.resume) { trainer.resume(s.training.checkpoint_path); }
  if (is_finished(s, trainer)) {
    std::printf("nothing is left to do: %s has all %lld steps\n", s.training.checkpoint_path.c_str(),
                static_cast<long long>(s.training.steps));
    return;
  }
  trainer.run();
  progress.finish();

  const std::unique_ptr<Vqvae> stored = load_vqvae(s.training.checkpoint_path);
  stored->to(device);
  write_file(s.common.out + "/curves.csv", curves_csv(trainer.log()));
  write_reconstructions(s.common.out + "/recon.png", *stored, held_out);
  keep_results(record, trainer, model);
  record.results()["evaluated_split"] = held_out.split();
  const std::string distance = measure_distance(s, *stored, held_out, record);
  record.write(s.common.out);
  if (!trainer.evaluations().empty()) { print_result(trainer.evaluations().back(), held_out.split()); }
  std::printf("%s", distance.c_str());
  if (!has_held_out) { std::printf("the dataset has no split test or val: evaluated on training images\n"); }
  std::printf("%s\n", s.training.checkpoint_path.c_str());
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::train); }
