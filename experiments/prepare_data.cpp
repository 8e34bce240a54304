// Makes datasets (docs/datasets.md) from CIFAR-100, from folders of pictures, or by drawing them; and shows what is in
// one.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "data/datasets/cifar100.h"
#include "data/datasets/image_dataset.h"
#include "data/datasets/image_folder.h"
#include "data/datasets/procedural.h"
#include "data/files/atomic_file.h"
#include "data/images/image_file.h"
#include "experiments/cli/options.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "experiments/report/image_grid.h"

namespace terrace {
namespace {

struct Arguments {
  CommonOptions common;
  bool gzip = false;
  // cifar100
  std::string cifar_source;
  bool any_count = false;
  // images
  std::string folder;
  ImageFolderOptions images;
  std::string filter = "lanczos";
  bool skip_bad = false;
  // procedural
  ProceduralOptions procedural;
  // info, preview
  std::string file;
  bool verify = false;
  std::string split = "train", png;
  int64_t count = 96, columns = 16, upscale = 2;

  Compression compression() const { return gzip ? Compression::kGzip : Compression::kNone; }
};

void add_output(Options& options, Arguments& arguments) {
  options.add("gzip", arguments.gzip, "compress the pictures (smaller, slower to read)");
  options.add_common(arguments.common, "dataset to write, FILE.h5");
}

void declare(Options& options, Arguments& a) {
  Options& cifar = options.command("cifar100", "converts CIFAR-100 from its published binary files");
  cifar.add("source", a.cifar_source, "folder with train.bin and test.bin, or the .tar.gz").positional().required();
  cifar.add("any-count", a.any_count, "accept files that hold another number of pictures than the published ones");
  add_output(cifar, a);

  Options& images = options.command("images", "converts a folder of JPEG and PNG files, one folder a class");
  images.add("folder", a.folder, "folder with class folders, or with train/ (and val/, test/) that have them")
      .positional()
      .required();
  images.add("size", a.images.size, "pixels a side: the short side is resized to it, the middle is kept")
      .range(1, 4096);
  images.add("filter", a.filter, "resize filter, antialiased").choices({"box", "bilinear", "bicubic", "lanczos"});
  images.add("split", a.images.split, "name of the split, where the folder has none of its own");
  images.add("test-every", a.images.test_every, "put every n-th picture into split test; 0: none").at_least(0);
  images.add("skip-bad", a.skip_bad, "leave out files that cannot be read, and list them, instead of stopping");
  add_output(images, a);

  Options& procedural =
      options.command("procedural", "draws 32x32 pictures of figures: shape, colour and place are the class");
  procedural.add("count", a.procedural.train, "training pictures").range(1, 1e9);
  procedural.add("test-count", a.procedural.test, "test pictures").range(0, 1e9);
  add_output(procedural, a);

  Options& info = options.command("info", "prints what a dataset holds");
  info.add("file", a.file, "dataset, FILE.h5").positional().required();
  info.add("verify", a.verify, "compare the content with its stored hash");

  Options& preview = options.command("preview", "writes pictures of a dataset as one PNG");
  preview.add("file", a.file, "dataset, FILE.h5").positional().required();
  preview.add("png", a.png, "file to write").required();
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
  const std::string stem = out.ends_with(".h5") ? out.substr(0, out.size() - 3) : out;
  write_file(stem + ".run.json", record.to_json().dump(2) + "\n");
}

void convert(const Options& options, Arguments& a) {
  if (a.common.out.empty()) { throw ConfigError("--out FILE.h5 is needed: the dataset to write"); }
  a.common.apply_on_cpu();
  RunRecord record("prepare_data", options.to_json(), a.common.seed);
  std::optional<Progress> progress;  // begins when the number of pictures is known
  const auto report_bad = [&](int64_t done, int64_t total, int64_t bad) {
    check_interrupt();
    if (!progress) { progress.emplace(options.chosen(), total, "images"); }
    progress->update(done, bad == 0 ? Progress::Fields{} : Progress::Fields{{"bad", static_cast<double>(bad)}});
  };
  const auto report = [&](int64_t done, int64_t total) { report_bad(done, total, 0); };
  ImageFolderResult result;
  if (options.chosen() == "cifar100") {
    convert_cifar100(a.cifar_source, a.common.out, a.any_count ? CifarCount::kAny : CifarCount::kPublished,
                     a.compression(), report);
  } else if (options.chosen() == "images") {
    a.images.filter = resize_filter_from_name(a.filter);
    a.images.bad_files = a.skip_bad ? BadFiles::kSkip : BadFiles::kStop;
    a.images.workers = threads();
    a.images.compression = a.compression();
    result = convert_image_folder(a.folder, a.common.out, a.images, report_bad);
  } else {
    a.procedural.seed = a.common.seed;
    a.procedural.compression = a.compression();
    create_procedural(a.common.out, a.procedural, report);
  }
  progress->finish();
  for (const BadFile& bad : result.bad) { std::cerr << "skipped: " << bad.reason << "\n"; }
  record.results()["skipped"] = result.bad.size();
  write_record(record, a.common.out);
  print_info(a.common.out, false);
}

void run(int argc, char** argv) {
  Arguments arguments;
  Options options("prepare_data", "Makes image datasets for training, and shows what is in one.");
  declare(options, arguments);
  options.epilog(
      "examples:\n"
      "  prepare_data cifar100 cifar-100-binary.tar.gz --out cifar100.h5\n"
      "  prepare_data images imagenet --size 64 --out imagenet64.h5\n"
      "  prepare_data procedural --count 16000 --out figures.h5\n"
      "  prepare_data preview figures.h5 --png figures.png");
  options.parse(argc, argv);
  if (options.chosen() == "info") {
    print_info(arguments.file, arguments.verify);
  } else if (options.chosen() == "preview") {
    write_preview(arguments);
  } else {
    convert(options, arguments);
  }
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
