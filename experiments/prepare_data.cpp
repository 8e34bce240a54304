// Makes datasets (docs/datasets.md), each by a command of its own (experiments/datasets/datasets.h), and shows what is
// in one.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/datasets/image_dataset.h"
#include "data/files/atomic_file.h"
#include "data/files/json.h"
#include "data/images/image_file.h"
#include "experiments/cli/options.h"
#include "experiments/cli/output_folder.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "experiments/datasets/datasets.h"
#include "experiments/report/image_grid.h"

namespace terrace {
namespace {

struct Arguments {
  CommonOptions common;
  bool gzip = false, overwrite = false;
  std::vector<std::unique_ptr<DatasetMaker>> makers;  // of kDatasets
  // info, preview
  std::string file;
  bool verify = false;
  std::string split = "train", png;
  int64_t count = 96, columns = 16, upscale = 2;
};

void declare(Options& options, Arguments& a) {
  for (const DatasetKind& kind : kDatasets) {
    Options& command = options.command(kind.name, kind.purpose);
    a.makers.push_back(kind.maker());
    a.makers.back()->declare(command);
    command.add("gzip", a.gzip, "compress the images with gzip: a smaller file, slower to read");
    declare_overwrite_file(command, a.overwrite, "OUT");
    command.add_common(a.common, "dataset to write; its record is written beside it, NAME.run.json")
        .endings({".h5", ".hdf5"});
  }

  Options& info = options.command("info", "prints what a dataset holds");
  info.add("file", a.file, "dataset, FILE.h5").positional().required();
  info.add("verify", a.verify, "compare the content with its stored hash");

  Options& preview = options.command("preview", "writes pictures of a dataset as one PNG");
  preview.add("file", a.file, "dataset, FILE.h5").positional().required();
  preview.add("png", a.png, "file to write").required().endings({".png"});
  preview.add("split", a.split, "split to show");
  preview.add("count", a.count, "pictures, spread evenly over the split").range(1, 10000);
  preview.add("columns", a.columns, "pictures a row").range(1, 1000);
  preview.add("upscale", a.upscale, "pixels of the PNG a pixel of a picture").range(1, 16);
}

void print_split(const ImageDataset& dataset) {
  std::vector<int64_t> counts(static_cast<size_t>(dataset.num_classes()), 0);
  const int64_t* label = dataset.labels().data<int64_t>();
  for (int64_t i = 0; i < dataset.size(); ++i) { ++counts[static_cast<size_t>(label[i])]; }
  const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
  std::cout << "split " << dataset.split() << ": " << dataset.size() << " images of " << dataset.height() << "x"
            << dataset.width() << ", " << *least << (*least == *most ? "" : cat(" to ", *most)) << " a class\n"
            << "  content " << dataset.content_hash() << "\n";
}

/// Mean and standard deviation of each channel on [0, 1], over all pixels.
void print_statistics(const ImageDataset& dataset) {
  constexpr int64_t kBlock = 256;
  double sum[3] = {}, squares[3] = {};
  for (int64_t begin = 0; begin < dataset.size(); begin += kBlock) {
    check_interrupt();
    const Tensor part = dataset.images(begin, std::min(begin + kBlock, dataset.size()));
    const uint8_t* value = part.data<uint8_t>();
    for (int64_t i = 0; i < part.numel(); ++i) {
      const double x = value[i] / 255.0;
      sum[i % 3] += x;
      squares[i % 3] += x * x;
    }
  }
  const double pixels = static_cast<double>(dataset.size() * dataset.height() * dataset.width());
  if (pixels == 0) { return; }
  std::string means, deviations;
  for (int c = 0; c < 3; ++c) {
    const double mean = sum[c] / pixels;
    char text[32];
    std::snprintf(text, sizeof text, "%s%.5f", c == 0 ? "" : ", ", mean);
    means += text;
    std::snprintf(text, sizeof text, "%s%.5f", c == 0 ? "" : ", ",
                  std::sqrt(std::max(squares[c] / pixels - mean * mean, 0.0)));
    deviations += text;
  }
  std::cout << "  mean (" << means << "), standard deviation (" << deviations << ") on [0, 1]\n";
}

void print_info(const std::string& path, bool verify) {
  const std::vector<std::string> splits = ImageDataset::splits(path);
  if (splits.empty()) { throw IoError(cat(path, ": the dataset has no splits")); }
  const ImageDataset first = ImageDataset::open(path, splits[0]);
  std::cout << path << ": " << first.source() << "\n" << first.num_classes() << " classes: ";
  constexpr int64_t kShown = 8;
  for (int64_t i = 0; i < std::min(first.num_classes(), kShown); ++i) {
    std::cout << (i == 0 ? "" : "; ") << first.class_names()[static_cast<size_t>(i)];
  }
  std::cout << (first.num_classes() > kShown ? "; ...\n" : "\n");
  for (const std::string& split : splits) {
    const ImageDataset dataset = ImageDataset::open(path, split);
    print_split(dataset);
    print_statistics(dataset);
    if (verify) {
      dataset.verify_content();
      std::cout << "  content verified\n";
    }
  }
}

void write_preview(const Arguments& a) {
  const ImageDataset dataset = ImageDataset::open(a.file, a.split);
  const int64_t count = std::min(a.count, dataset.size());
  if (count == 0) { throw IoError(cat(a.file, ": split \"", a.split, "\" is empty")); }
  Tensor images = Tensor::empty({count, dataset.height(), dataset.width(), 3}, DType::kU8);
  // The first ones of a set whose classes go round; spread over one that is ordered by class.
  const bool ordered =
      std::is_sorted(dataset.labels().data<int64_t>(), dataset.labels().data<int64_t>() + dataset.size());
  for (int64_t i = 0; i < count; ++i) {
    images.select(0, i).copy_(dataset.image(ordered ? i * dataset.size() / count : i));
  }
  write_png(a.png, image_grid(images, {.columns = a.columns, .padding = 2, .upscale = a.upscale}));
  std::cout << a.png << ": " << count << " of " << dataset.size() << " pictures of split " << a.split << "\n";
}

/// run.json of a dataset lies beside it: data.h5 has data.run.json.
void write_record(const RunRecord& record, const std::string& out) {
  write_file(std::filesystem::path(out).replace_extension(".run.json").string(), json_text(record.to_json(), 2) + "\n");
}

void make_dataset(const Options& options, DatasetMaker& maker, const Arguments& a) {
  if (a.common.out.empty()) { throw ConfigError("--out FILE.h5 is needed: the dataset to write"); }
  check_new_file(a.common.out, a.overwrite, "--out");
  a.common.apply_on_cpu();
  RunRecord record("prepare_data", options.to_json(), a.common.seed);
  const DatasetOutput output{
      .path = a.common.out, .seed = a.common.seed, .compression = a.gzip ? Compression::kGzip : Compression::kNone};
  std::optional<Progress> progress;  // begins when the number of pictures is known
  const auto report = [&](int64_t done, int64_t total, int64_t bad) {
    check_interrupt();
    if (!progress) { progress.emplace(options.chosen(), total, "images"); }
    progress->update(done, bad == 0 ? Progress::Fields{} : Progress::Fields{{"bad", static_cast<double>(bad)}});
  };
  const std::vector<std::string> skipped = maker.make(output, report);
  progress->finish();
  for (const std::string& reason : skipped) { std::cerr << "skipped: " << reason << "\n"; }
  record.results()["skipped"] = skipped.size();
  write_record(record, a.common.out);
  print_info(a.common.out, false);
}

void run(int argc, char** argv) {
  Arguments arguments;
  Options options("prepare_data", "Makes image datasets for training, and shows what is in one.");
  declare(options, arguments);
  std::string examples = "examples:\n";
  for (const DatasetKind& kind : kDatasets) { examples += cat("  prepare_data ", kind.name, " ", kind.example, "\n"); }
  options.epilog(examples + "  prepare_data preview figures.h5 --png figures.png");
  options.parse(argc, argv);
  if (options.chosen() == "info") { return print_info(arguments.file, arguments.verify); }
  if (options.chosen() == "preview") { return write_preview(arguments); }
  for (size_t i = 0; i < std::size(kDatasets); ++i) {
    if (options.chosen() == kDatasets[i].name) { make_dataset(options, *arguments.makers[i], arguments); }
  }
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
