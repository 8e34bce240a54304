// evaluate: FID and its kin of two sets of images, each number with what it was measured with.
#include <cmath>
#include <cstdio>
#include <optional>

#include "data/datasets/image_source.h"
#include "data/files/atomic_file.h"
#include "data/files/json.h"
#include "experiments/cli/options.h"
#include "experiments/cli/output_folder.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "experiments/evaluation/evaluation.h"
#include "experiments/evaluation/metric.h"
#include "experiments/evaluation/self_check.h"
#include "tensor/base/names.h"

namespace terrace {
namespace {

struct Settings {
  CommonOptions common;
  EvaluationOptions evaluation;
  int64_t limit = 0;
  std::string split, protocol = "pytorch-fid", dtype = "f32", json, cache = "default";
  bool self_check = false, overwrite = false;
};

void declare_images(Options& options, Settings& s) {
  EvaluationOptions& e = s.evaluation;
  options.group("Images");
  options
      .add("fake", e.fake,
           "images to judge: OUT of sample, edit or reconstruct, any folder of PNG and JPEG files, an .npz (arr_0 u8 "
           "NHWC), a dataset (.h5)")
      .metavar("FILE|FOLDER")
      .input();
  options.add("real", e.real, "what they are compared with: the same, or saved statistics (.npz of mu, sigma)")
      .metavar("FILE|FOLDER")
      .input();
  options.add("split", s.split, "split of the datasets on both sides")
      .metavar("NAME")
      .default_text("the held-out one, else train");
  options.add("fake-split", e.fake_split, "split of --fake alone").metavar("NAME").default_text("that of --split");
  options.add("real-split", e.real_split, "split of --real alone").metavar("NAME").default_text("that of --split");
  options
      .add("limit", s.limit,
           "images to take of either side, 0 for all: a random subset, the same in every run whatever --seed")
      .at_least(0);
  options.add("fake-limit", e.fake_limit, "images to take of --fake alone").at_least(0).default_text("that of --limit");
  options.add("real-limit", e.real_limit, "images to take of --real alone").at_least(0).default_text("that of --limit");
  options.add("skip-bad", e.skip_bad, "leave out files that cannot be read and count them; else the first one stops");
}

void declare(Options& options, Settings& s) {
  EvaluationOptions& e = s.evaluation;
  declare_images(options, s);
  options.group("Figures");
  std::vector<std::string> known;
  for (const Metric& metric : metrics()) {
    known.push_back(metric.explanation.empty() ? metric.name : cat(metric.name, " (", metric.explanation, ")"));
  }
  options.add("metrics", e.metrics, join_names(known)).choices(metric_names());
  options.add("protocol", s.protocol, "whose figures these are comparable with").choices(protocol_names());
  options.add(
      "features", e.inception.level,
      "feature dimension of Inception, which names the layer: 64, 192, 768 or 2048; published figures are of 2048");
  options
      .add("weights", e.inception.weights,
           "file of Inception's weights; the first layers alone serve the levels they reach")
      .metavar("FILE")
      .input()
      .default_text("TERRACE_INCEPTION, else that of `make inception`");
  for (const Metric& metric : metrics()) {
    if (metric.declare != nullptr) { metric.declare(options, e); }
  }
  options.group("How far to trust them");
  options.add("bootstrap", e.bootstrap, "bootstrap replicates of the fakes for FID's 95 % confidence interval; 0: none")
      .range(0, 1e6);
  options.add("fid-vs-n", e.fid_vs_n, "FID of growing parts of the fakes and its limit, FID-infinity");
  options.add("per-class", e.per_class, "FID of each class, where both sides tell their images' classes");
  options.add("self-check", s.self_check,
              "no images: try what FID and its kin must fulfil, and end with 1 where one fails");
  options.group("Run");
  options.add("batch", e.batch, "images a batch; does not change the figures").range(1, 1e9);
  options
      .add("dtype", s.dtype, "f32 or, on a GPU, bf16: what the network computes in; figures of one type alone compare")
      .choices({"f32", "bf16"});
  options.add("json", s.json, "file to write figures, stamps, classes and curve to").endings({".json"});
  options.add("save-stats", e.save_stats, "file for the statistics of --real, mu and sigma, which --real takes later")
      .endings({".npz"});
  declare_overwrite_file(options, s.overwrite, "the file of --json, that of --save-stats, the run in OUT");
  options
      .add("cache", s.cache,
           "folder for statistics of --real, by content, and for what an interrupted run goes on from; none: nothing "
           "is kept")
      .metavar("FOLDER")
      .default_text("TERRACE_CACHE, else ~/.cache/terrace");
  options.add_common(s.common, "folder for run.json, which holds the figures").default_text("none");
}

/// What an image takes, and what each metric adds.
void declare_costs(Options& options) {
  std::vector<std::pair<std::string, std::string>> rows = {
      {"network",
       "every image once (those of --real once for all runs, see --cache); up to level 64, 192, 768 and 2048 "
       "in the ratio 1 : 2 : 6 : 7 of time; memory does not grow with the number of images"}};
  for (const Metric& metric : metrics()) { rows.emplace_back(metric.name, metric.cost); }
  options.table("What it costs", std::move(rows));
}

void print_self_check() {
  bool passed = true;
  std::printf("%-58s %14s %14s %10s\n", "property", "value", "expected", "allowed");
  for (const SelfCheck& check : self_check()) {
    std::printf("%-58s %14.8g %14.8g %10.1e%s\n", check.what.c_str(), check.value, check.expected, check.allowed,
                check.passed ? "" : "  FAILED");
    passed = passed && check.passed;
  }
  if (!passed) { throw EarlyExit{1}; }
}

void print(const Evaluation& result) {
  for (const Figure& figure : result.figures) { std::printf("%s\n", figure.line().c_str()); }
  std::fflush(stdout);
  for (const Figure& figure : result.figures) {
    if (!figure.warning.empty()) { std::fprintf(stderr, "warning: %s\n", figure.warning.c_str()); }
  }
  if (!result.classes.empty()) { std::printf("\n%-24s %8s %8s %12s\n", "class", "fakes", "reals", "distance"); }
  for (const ClassFigure& c : result.classes) {
    std::printf("%-24s %8lld %8lld %12s\n", c.name.c_str(), static_cast<long long>(c.fake),
                static_cast<long long>(c.real), std::isfinite(c.value) ? format_number(c.value).c_str() : "-");
  }
  for (const BadFile& bad : result.bad) { std::fprintf(stderr, "skipped: %s\n", bad.reason.c_str()); }
}

void run(int argc, char** argv) {
  Settings s;
  std::vector<std::string> titles;
  for (const Metric& metric : metrics()) { titles.push_back(metric.title); }
  Options options("evaluate", cat("Judges generated images: ", join_names(titles), "."));
  declare(options, s);
  declare_costs(options);
  options.epilog(
      "  evaluate --fake samples.npz --real imagenet.h5 --metrics fid,sfid,is,pr --protocol adm --json out.json\n"
      "  evaluate --real cifar100.h5 --split train --save-stats cifar100.npz\n"
      "  evaluate --fake runs/samples --real cifar100.h5 --features 64 --limit 1000\n"
      "Every number comes with its protocol, weights, numbers of images and reference: docs/evaluation.md.");
  options.parse(argc, argv);
  const Device device = s.common.apply();
  if (s.self_check) { return print_self_check(); }
  EvaluationOptions& e = s.evaluation;
  e.inception.placement = {.device = device, .dtype = dtype_from_name(s.dtype)};
  if (!s.split.empty()) {
    for (auto [path, split] : {std::pair(&e.fake, &e.fake_split), std::pair(&e.real, &e.real_split)}) {
      if (split->empty() && is_dataset_name(*path)) { *split = s.split; }
    }
  }
  if (!options.given("fake-limit")) { e.fake_limit = s.limit; }
  if (!options.given("real-limit")) { e.real_limit = s.limit; }
  const OutputFile json(s.json, s.overwrite, "--json", options.inputs());
  const OutputFile statistics(e.save_stats, s.overwrite, "--save-stats", options.inputs());
  std::optional<OutputFolder> output;
  if (!s.common.out.empty()) {
    output.emplace(s.common.out, OutputPlan{.program = "evaluate", .inputs = options.inputs()},
                   if_there(false, s.overwrite));
  }
  e.seed = s.common.seed;
  e.inception.protocol = protocol_from_name(s.protocol);
  e.cache_folder = s.cache == "default" ? ReferenceCache::default_folder() : s.cache == "none" ? "" : s.cache;
  RunRecord record("evaluate", options.to_json(), s.common.seed);
  const Evaluation result = evaluate(e);
  print(result);
  if (!s.json.empty()) { write_file(s.json, json_text(result.json(), 2) + "\n"); }
  if (!output) { return; }
  record.results() = result.json();
  output->begin(record);
  output->finish(record);
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
