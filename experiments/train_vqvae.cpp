// Trains a multi-scale VQVAE tokenizer on an image dataset.
#include <cstdio>
#include <memory>
#include <vector>

#include "experiments/cli/options.h"
#include "experiments/cli/output_folder.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "experiments/evaluation/frechet_evaluator.h"
#include "experiments/training/memory.h"
#include "experiments/training/pictures.h"
#include "experiments/training/start.h"
#include "var/presets.h"
#include "var/training/curves.h"
#include "var/training/vqvae_trainer.h"
#include "var/weights/checkpoint.h"
#include "var/weights/load.h"

namespace terrace {
namespace {

struct Settings {
  CommonOptions common;
  std::string data, preset = "vqvae-32px";
  StartOptions start;
  int64_t grid_images = 32;
  EvaluatorOptions evaluator;
  VqvaeConfig model = vqvae_preset(preset);
  VqvaeTrainOptions training;
};

void declare_training(Options& options, Settings& s) {
  VqvaeTrainOptions& t = s.training;
  options.group("Training");
  options.add("steps", t.steps, "optimizer steps of the whole run; an epoch is (training images / batch) steps")
      .at_least(1);
  s.start.declare_minutes(options);
  options.add("batch", t.batch, "images per step").range(1, 1e9);
  options
      .add(
          "lr", t.lr,
          "peak learning rate of AdamW; the learning-rate schedule is a linear warm-up from 0, then half a cosine over "
          "the remaining steps")
      .positive();
  options.add("final-lr", t.final_lr, "learning rate at the last step, as a fraction of the peak").range(0, 1);
  options.add("warmup", t.warmup, "steps of linear warm-up").at_least(0);
  options.add("beta1", t.beta1, "AdamW's beta1: decay rate of the mean of gradients").range(0, 0.9999);
  options.add("beta2", t.beta2, "AdamW's beta2: decay rate of the mean of squared gradients").range(0, 0.9999);
  options.add("weight-decay", t.weight_decay, "decoupled weight decay of AdamW, times the learning rate, per step")
      .at_least(0);
  options.add("clip", t.clip, "gradients are scaled down to this global norm; 0: no clipping").at_least(0);
  options.add("l1", t.l1_weight, "weight of the mean absolute error beside the mean squared error").at_least(0);
  options.add("edge", t.edge_weight, "weight of the absolute error of differences between neighbouring pixels")
      .at_least(0);
  options.add("vq", t.vq_weight, "weight of the quantizer's loss, codebook and commitment").at_least(0);
  options.add("ema", t.ema_decay, "decay per step of an exponential moving average of the weights; 0: none")
      .range(0, 0.999999);
  options.add("init-iterations", t.init_iterations, "rounds of k-means that the codebook starts from; 0: random codes")
      .range(0, 100000);
  options.add("revive-after", t.revive_after, "steps after which a code that was not used is moved; 0: never")
      .at_least(0);
}

void declare_tokenizer(Options& options, Settings& s) {
  options.group(
      "Tokenizer (images of LAST x 2^(LEVELS - 1) pixels: the last of --patch-nums, the levels of --ch-mult)");
  options
      .add(
          "model", s.preset,
          "a tokenizer by name: vqvae-32px is for 32 px images (8x8 latents of 16 channels, 256 codes, downsampling by "
          "4, 155 tokens), vae-ch160v4096z32 the official one; what is given beside it stands")
      .choices(vqvae_preset_names())
      .preset([&s](const std::string& name) { s.model = vqvae_preset(name); });
  options.add("ch", s.model.ch, "channels of the finest level").at_least(1);
  options
      .add("ch-mult", s.model.ch_mult,
           "channels of each level as a multiple of --ch; each level after the first halves the map. For 64 px images: "
           "1,2,2,4, the same tokens")
      .at_least(1);
  options.add("num-res-blocks", s.model.num_res_blocks, "residual blocks per level").at_least(1);
  options.add("z-channels", s.model.z_channels, "channels of the latent map, and of a code").at_least(1);
  options.add("vocab", s.model.vocab_size, "codes of the codebook").at_least(1);
  options.add("patch-nums", s.model.patch_nums,
              "side of every scale in tokens, from coarse to fine; the last is the side of the latent map. For 64 px "
              "images without another level: 1,2,3,4,6,9,12,16, finer and slower");
  options
      .add("norm-groups", s.model.norm_groups,
           "groups of the group normalisations; divides the channels of every level")
      .at_least(1);
  options
      .add("share-quant-resi", s.model.share_quant_resi,
           "convolutions phi after the quantizer: so many, 0: one per scale")
      .at_least(0);
  options.add("quant-resi", s.model.quant_resi, "fraction of the convolution in phi, the rest is the identity")
      .range(-1, 1);
  options.add("beta", s.model.beta, "weight of the commitment loss in the quantizer's").at_least(0);
  options.add("znorm", s.model.using_znorm, "the nearest code is that of the largest cosine similarity");
  options.add("attention", s.model.using_sa, "self-attention at the coarsest level");
  options.add("middle-attention", s.model.using_mid_sa, "self-attention between encoder and latent map, and behind it");
  options.add("dropout", s.model.dropout, "dropout probability in residual blocks").range(0, 0.99);
}

void declare(Options& options, Settings& s) {
  VqvaeTrainOptions& t = s.training;
  options.group("Data");
  options.add("data", s.data, "image dataset (HDF5, from prepare_data)").metavar("FILE").required().input();
  declare_training(options, s);
  declare_tokenizer(options, s);
  options.group("Run");
  s.start.declare(options);
  options.add("checkpoint-every", t.checkpoint_every, "steps between checkpoints; 0: one at the end").at_least(0);
  options
      .add("evaluate-every", t.evaluate_every,
           "steps between evaluations on held-out images, each with a picture recon-STEP.png; 0: one at the end")
      .at_least(0);
  options.add("evaluate-images", t.evaluate_images, "held-out images to evaluate on; 0: no evaluation").at_least(0);
  options
      .add("grid-images", s.grid_images,
           "held-out images in a picture of originals above reconstructions; 0: no pictures")
      .range(0, 1024);
  s.evaluator.declare(
      options,
      "held-out images that the Frechet distance of reconstructions is measured on at every evaluation; "
      "0: it is not");
  options.add("log-every", t.log_every, "steps between rows of curves.csv").at_least(1);
  options.add("workers", t.workers, "threads that prepare batches").range(0, 64);
  options.add_common(s.common, "folder for checkpoint.h5, curves.csv, curves.jsonl, recon.png and run.json");
}

void parse(Options& options, Settings& s, int argc, char** argv) {
  s.common.out = "runs/vqvae";
  declare(options, s);
  options.epilog(
      "The defaults are the 32 px preset: 8x8 latents of 16 channels, 256 codes, 155 tokens an image.\n"
      "  train_vqvae --data procedural.h5 --out runs/vqvae\n"
      "  train_vqvae --data procedural.h5 --out runs/vqvae --resume --steps 3000   # longer\n"
      "  train_vqvae --data imagenet64.h5 --ch-mult 1,2,2,4 --minutes 60           # 64 px, for an hour");
  options.parse(argc, argv);
}

/// What is shown of a training while it runs, and kept of it.
class TrainingReport {
 public:
  TrainingReport(const Settings& s, const ImageDataset& held_out, OutputFolder& folder, RunRecord& record,
                 RunLength& length)
      : settings_(s),
        held_out_(held_out),
        folder_(folder),
        record_(record),
        length_(length),
        curves_(s.common.out, static_cast<int64_t>(s.model.patch_nums.size())),
        progress_("tokenizer", s.training.steps),
        last_step_(s.training.steps) {}

  VqvaeTrainCallbacks callbacks() {
    VqvaeTrainCallbacks callbacks;
    callbacks.record = [this](const VqvaeStepRecord& r) {
      curves_.add(r);
      psnr_ = r.psnr;
      if (r.has_held_out()) { held_out_psnr_ = r.held_out_psnr; }
      curves_.publish_sometimes();
    };
    callbacks.progress = [this](int64_t done, int64_t steps, double loss) { update(done, steps, loss); };
    callbacks.evaluate = [this](VqvaeEvaluation& e, Vqvae& model) {
      interruptible("in the evaluation ", e.step, [&] { evaluate(e, model); });
    };
    callbacks.before_checkpoint = [this] { curves_.publish(); };
    if (TrainPlan plan = length_.plan()) {
      callbacks.plan = [this, plan](int64_t done) { return last_step_ = plan(done); };
    }
    return callbacks;
  }

  /// Before the first step of this process.
  void begin(const VqvaeTrainer& trainer) {
    folder_.begin(record_);
    curves_.add_earlier(trainer.log());
    curves_.publish();
    progress_.start(trainer.steps_done());
    say(length_.announce(settings_.training, trainer.steps_done(), settings_.training.steps));
  }

  void finish(const VqvaeTrainer& trainer, const Device& device) {
    progress_.finish();
    curves_.publish();
    const std::unique_ptr<Vqvae> stored = load_vqvae(settings_.training.checkpoint_path);
    stored->to(device);
    if (settings_.grid_images > 0) {
      folder_.add(record_, "recon.png");
      write_reconstructions(folder_.path("recon.png"), *stored, held_out_, settings_.grid_images);
    }
    keep_results(trainer, *stored);
    if (distance_step_ != trainer.steps_done()) {
      interruptible("", trainer.steps_done(), [&] { measure_distance(*stored, trainer.steps_done()); });
    }
    const std::string stopped = length_.stopped(trainer.steps_done(), settings_.training.steps);
    stopped.empty() ? folder_.finish(record_) : folder_.stop(record_);
    print(trainer, stopped);
  }

 private:
  void say(const std::string& text) {
    if (!text.empty()) { progress_.message(text); }
  }

  void evaluate(VqvaeEvaluation& e, Vqvae& model) {
    std::string text = cat("step ", e.step, ": ", describe(e));
    const std::string distance = measure_distance(model, e.step);
    if (!distance.empty()) {
      e.frechet_distance = distance_;
      text += "; " + distance;
    }
    if (e.step != last_step_) { say(text); }  // of the last step the result says it
    if (settings_.grid_images <= 0) { return; }
    const std::string file = step_file("recon", e.step);
    folder_.add(record_, file);
    write_reconstructions(folder_.path(file), model, held_out_, settings_.grid_images);
  }

  void update(int64_t done, int64_t steps, double loss) {
    progress_.set_total(steps);
    say(length_.announce(settings_.training, done, steps));
    Progress::Fields fields = {{"loss", loss}, {"psnr", psnr_}};
    if (held_out_psnr_ > 0) { fields.emplace_back("held-out psnr", held_out_psnr_); }
    progress_.update(done, fields);
    if (interrupted() && done < steps) { throw Interrupted(interrupted_text("", done)); }
  }

  std::string describe(const VqvaeEvaluation& e) const {
    char text[120];
    std::snprintf(text, sizeof text, "PSNR %.2f dB over %lld images of split %s, %.0f %% of the codes used", e.psnr,
                  static_cast<long long>(e.images), held_out_.split().c_str(), 100 * e.codes_used);
    return text;
  }

  /// Measures the Frechet distance of reconstructions, where it is asked for; the line that says it.
  std::string measure_distance(Vqvae& model, int64_t step) {
    if (settings_.evaluator.images == 0) { return ""; }
    const SampleEvaluator evaluator(model, held_out_, settings_.evaluator);
    distance_ = evaluator.distance_of_reconstructions();
    distance_step_ = step;
    record_.results()["frechet"] = {{"name", evaluator.frechet().name()},
                                    {"about", evaluator.frechet().about()},
                                    {"reconstructions", distance_},
                                    {"images", evaluator.frechet().reference_images()}};
    distance_line_ = cat(evaluator.frechet().name(), ": ", format_number(distance_), " of the reconstructions of ",
                         evaluator.frechet().reference_images(), " images");
    return distance_line_;
  }

  void keep_results(const VqvaeTrainer& trainer, const Vqvae& model) {
    Json& results = record_.results();
    results["steps"] = trainer.steps_done();
    results["parameters"] = model.parameter_count();
    results["evaluated_split"] = held_out_.split();
    if (!trainer.log().empty()) {
      const VqvaeStepRecord& last = trainer.log().back();
      results["loss"] = last.loss;
      results["mse"] = last.mse;
      results["seconds_per_step"] = last.seconds_per_step;
    }
    if (trainer.evaluations().empty()) { return; }
    const VqvaeEvaluation& e = trainer.evaluations().back();
    results["psnr"] = e.psnr;
    results["evaluated_images"] = e.images;
    results["codes_used"] = e.codes_used;
    results["usage"] = e.usage;
    results["perplexity"] = e.perplexity;
  }

  void print(const VqvaeTrainer& trainer, const std::string& stopped) const {
    if (!trainer.evaluations().empty()) {
      const VqvaeEvaluation& e = trainer.evaluations().back();
      const std::string at = e.step == trainer.steps_done() ? "" : cat("step ", e.step, ": ");
      std::printf("%s%s\nperplexity of the codes per scale:", at.c_str(), describe(e).c_str());
      for (const double value : e.perplexity) { std::printf(" %.0f", value); }
      std::printf("\n");
    }
    if (!distance_line_.empty()) { std::printf("%s\n", distance_line_.c_str()); }
    if (held_out_.split() == "train") {
      std::printf("the dataset has no split test or val: evaluated on training images\n");
    }
    if (!stopped.empty()) { std::printf("%s\n", stopped.c_str()); }
    std::printf("%s\n", settings_.training.checkpoint_path.c_str());
  }

  const Settings& settings_;
  const ImageDataset& held_out_;
  OutputFolder& folder_;
  RunRecord& record_;
  RunLength& length_;
  CurveFiles<VqvaeStepRecord> curves_;
  Progress progress_;
  int64_t last_step_;                    // as it is planned now
  double psnr_ = 0, held_out_psnr_ = 0;  // the last ones, for the line of progress
  double distance_ = -1;
  int64_t distance_step_ = -1;  // that distance_ was measured at
  std::string distance_line_;
};

/// Whether a resumed run had come to its end with all that is asked for.
bool is_finished(const Settings& s, const VqvaeTrainer& trainer, const RunLength& length) {
  return length.is_complete(trainer.steps_done()) && trainer.steps_done() == s.training.steps &&
         has_ended(s.common.out, s.training.steps) &&
         (s.evaluator.images == 0 || recorded_results(s.common.out).contains("frechet"));
}

void train(int argc, char** argv) {
  Settings s;
  Options options("train_vqvae", "Trains a multi-scale VQVAE tokenizer on an image dataset.");
  parse(options, s, argc, argv);
  const Device device = s.common.apply();
  s.training.seed = s.common.seed;
  s.training.checkpoint_path = s.common.out + "/checkpoint.h5";
  const std::string at = reached(s.training.checkpoint_path);
  OutputFolder folder(s.common.out,
                      {.program = "train_vqvae",
                       .files = {"checkpoint.h5", "curves.csv", "curves.jsonl"},
                       .resumable = !at.empty(),
                       .reached = at,
                       .inputs = options.inputs()},
                      if_there(s.start.resume, s.start.overwrite));
  s.start.keep_init_from(folder.run_before());
  RunLength length(s.start, options.given("steps"), s.training.checkpoint_path, s.training.steps);

  const ImageDataset images = open_with_images(s.data, "train");
  const ImageDataset held_out = open_held_out(s.data).value_or(images);
  RunRecord record("train_vqvae", length.recorded(options, s.training.steps), s.common.seed);
  check_step_memory(s.model, s.training.batch, device);
  Vqvae model(s.model);
  s.training.keep_codes = !s.start.init_from.empty();
  if (!s.start.init_from.empty() && !s.start.resume) { load_initial_weights(s.start.init_from, model); }
  model.to(device);
  TrainingReport report(s, held_out, folder, record, length);
  VqvaeTrainer trainer(model, images, &held_out, s.training, report.callbacks());
  if (s.start.resume) { trainer.resume(s.training.checkpoint_path); }
  if (is_finished(s, trainer, length)) {
    std::printf("%s\n", nothing_left(s.training.checkpoint_path, s.training.steps).c_str());
    return;
  }
  report.begin(trainer);
  run_interruptibly(trainer);
  report.finish(trainer, device);
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::train); }
