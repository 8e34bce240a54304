// evaluate: FID and its kin of two sets of images, each number with what it was measured with.
#include <cmath>
#include <cstdio>

#include "data/files/atomic_file.h"
#include "data/files/json.h"
#include "experiments/cli/options.h"
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
  std::string split, protocol = "pytorch-fid", dtype = "f32", json, cache = "default";
  bool self_check = false;
};

void declare(Options& options, Settings& s) {
  EvaluationOptions& e = s.evaluation;
  options.group("Images");
  options.add("fake", e.fake,
              "images to judge: a folder of PNG and JPEG files, an .npz (arr_0 u8 NHWC), a dataset (.h5)");
  options.add("real", e.real, "what they are compared with: the same, or saved statistics (.npz of mu, sigma)");
  options.add("split", s.split, "of the datasets on both sides").default_text("the held-out one, else train");
  options.add("fake-split", e.fake_split, "of --fake alone");
  options.add("real-split", e.real_split, "of --real alone");
  options.add("skip-bad", e.skip_bad, "leave out files that cannot be read and count them; else the first one stops");
  options.group("Figures");
  std::vector<std::string> known;
  for (const Metric& metric : metrics()) {
    known.push_back(metric.explanation.empty() ? metric.name : cat(metric.name, " (", metric.explanation, ")"));
  }
  options.add("metrics", e.metrics, join_names(known)).choices(metric_names());
  options.add("protocol", s.protocol, "whose figures these are comparable with").choices(protocol_names());
  options.add("features", e.inception.level, "level of Inception: 64, 192, 768 or 2048; published figures are of 2048");
  options.add("weights", e.inception.weights, "of Inception; the first layers alone serve the levels they reach")
      .default_text("TERRACE_INCEPTION, else that of `make inception`");
  for (const Metric& metric : metrics()) {
    if (metric.declare != nullptr) { metric.declare(options, e); }
  }
  options.group("How far to trust them");
  options.add("bootstrap", e.bootstrap, "resamples for FID's 95 % interval; 0: none").at_least(0);
  options.add("fid-vs-n", e.fid_vs_n, "FID of growing parts of the fakes and its limit, FID-infinity");
  options.add("per-class", e.per_class, "FID of each class, where both sides tell their images' classes");
  options.add("self-check", s.self_check,
              "no images: try what FID and its kin must fulfil, and end with 1 where one fails");
  options.group("Run");
  options.add("batch", e.batch, "images at a time; does not change the figures").at_least(1);
  options
      .add("dtype", s.dtype, "f32 or, on a GPU, bf16: what the network computes in; figures of one type alone compare")
      .choices({"f32", "bf16"});
  options.add("json", s.json, "file for figures, stamps, classes and curve");
  options.add("save-stats", e.save_stats, "file (.npz) for the statistics of --real, for later");
  options
      .add("cache", s.cache,
           "folder for statistics of --real, by content, and for what an interrupted run goes on from; none: nothing "
           "is kept")
      .default_text("TERRACE_CACHE, else ~/.cache/terrace");
  options.add_common(s.common, "folder for run.json");
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
  options.epilog(
      "  evaluate --fake samples.npz --real imagenet.h5 --metrics fid,sfid,is,pr --protocol adm --json out.json\n"
      "  evaluate --real cifar100.h5 --split train --save-stats cifar100.npz\n"
      "Every number comes with its protocol, weights, numbers of images and reference: docs/evaluation.md.");
  options.parse(argc, argv);
  const Device device = s.common.apply();
  if (s.self_check) { return print_self_check(); }
  EvaluationOptions& e = s.evaluation;
  e.inception.placement = {.device = device, .dtype = dtype_from_name(s.dtype)};
  if (!s.split.empty()) {
    for (auto [path, split] : {std::pair(&e.fake, &e.fake_split), std::pair(&e.real, &e.real_split)}) {
      if (split->empty() && path->ends_with(".h5")) { *split = s.split; }
    }
  }
  e.seed = s.common.seed;
  e.inception.protocol = protocol_from_name(s.protocol);
  e.cache_folder = s.cache == "default" ? ReferenceCache::default_folder() : s.cache == "none" ? "" : s.cache;
  RunRecord record("evaluate", options.to_json(), s.common.seed);
  const Evaluation result = evaluate(e);
  print(result);
  if (!s.json.empty()) { write_file(s.json, json_text(result.json(), 2) + "\n"); }
  if (s.common.out.empty()) { return; }
  make_folder(s.common.out);
  record.results() = result.json();
  record.write(s.common.out);
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
