// Makes datasets (docs/datasets.md), each by a command of its own (experiments/datasets/datasets.h), and shows what is
// in one.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "data/datasets/class_names.h"
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
#include "experiments/report/caption.h"
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
  std::string class_name;            // one class
  std::vector<std::string> classes;  // or several
  int64_t count = 96, columns = 16, upscale = 2;
};

void declare_classes(Options& command, Arguments& a, const std::string& help) {
  command.add("class", a.class_name, help).metavar("NAME").default_text("all");
  command.add("classes", a.classes, "the same for several, a,b,c").default_text("all");
}

/// The classes that were asked for, in that order; empty: none were named. Throws ConfigError.
std::vector<int64_t> chosen_classes(const Arguments& a, const ImageDataset& dataset) {
  if (!a.class_name.empty() && !a.classes.empty()) { throw ConfigError("--class and --classes: give one of the two"); }
  std::vector<int64_t> chosen;
  const auto choose = [&](const std::string& text, const char* option) {
    const int64_t c = find_class(text, dataset.class_names(), dataset.num_classes(), option);
    if (std::find(chosen.begin(), chosen.end(), c) != chosen.end()) {
      throw ConfigError(cat(option, ": '", text, "' names a class twice"));
    }
    chosen.push_back(c);
  };
  if (!a.class_name.empty()) { choose(a.class_name, "--class"); }
  for (const std::string& text : a.classes) { choose(text, "--classes"); }
  return chosen;
}

/// The pictures of a class, in their order.
std::vector<int64_t> rows_of_class(const ImageDataset& dataset, int64_t c) {
  std::vector<int64_t> rows;
  const int64_t* label = dataset.labels().data<int64_t>();
  for (int64_t i = 0; i < dataset.size(); ++i) {
    if (label[i] == c) { rows.push_back(i); }
  }
  return rows;
}

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
  declare_classes(info, a, "name or number of a class to tell more of");

  Options& preview = options.command("preview", "writes images of a dataset as one PNG");
  preview.add("file", a.file, "dataset, FILE.h5").positional().required().input();
  preview.add("png", a.png, "file to write").required().endings({".png"});
  declare_overwrite_file(preview, a.overwrite, "the file of --png");
  preview.add("split", a.split, "split to show").metavar("NAME");
  declare_classes(preview, a, "name or number of the class to show");
  preview.add("count", a.count, "images, spread evenly over the split, or over the classes").range(1, 10000);
  preview.add("columns", a.columns, "images a row").range(1, 1000);
  preview.add("upscale", a.upscale, "pixels of the PNG per pixel of an image").range(1, 16);
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

/// "mean (0.5, 0.5, 0.5), standard deviation (...) on [0, 1]": of each channel, over all pixels of these pictures.
std::string statistics_text(const ImageDataset& dataset, const std::vector<int64_t>& rows) {
  constexpr size_t kBlock = 256;
  double sum[3] = {}, squares[3] = {};
  for (size_t begin = 0; begin < rows.size(); begin += kBlock) {
    check_interrupt();
    const auto from = rows.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto end = rows.begin() + static_cast<std::ptrdiff_t>(std::min(begin + kBlock, rows.size()));
    const Tensor part = dataset.images(std::vector<int64_t>(from, end));
    const uint8_t* value = part.data<uint8_t>();
    for (int64_t i = 0; i < part.numel(); ++i) {
      const double x = value[i] / 255.0;
      sum[i % 3] += x;
      squares[i % 3] += x * x;
    }
  }
  const double pixels = static_cast<double>(static_cast<int64_t>(rows.size()) * dataset.height() * dataset.width());
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
  return cat("mean (", means, "), standard deviation (", deviations, ") on [0, 1]");
}

void print_statistics(const ImageDataset& dataset) {
  std::vector<int64_t> all(static_cast<size_t>(dataset.size()));
  std::iota(all.begin(), all.end(), 0);
  if (!all.empty()) { std::cout << "  " << statistics_text(dataset, all) << "\n"; }
}

void print_classes(const ImageDataset& dataset, const std::vector<int64_t>& classes) {
  for (const int64_t c : classes) {
    const std::vector<int64_t> rows = rows_of_class(dataset, c);
    std::cout << "  class " << c << ", " << dataset.class_names()[static_cast<size_t>(c)] << ": " << rows.size()
              << " images" << (rows.empty() ? "" : ", " + statistics_text(dataset, rows)) << "\n";
  }
}

void print_info(const std::string& path, const Arguments& a) {
  const std::vector<std::string> splits = ImageDataset::splits(path);
  if (splits.empty()) { throw IoError(cat(path, ": the dataset has no splits")); }
  const ImageDataset first = ImageDataset::open(path, splits[0]);
  const std::vector<int64_t> classes = chosen_classes(a, first);
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
    print_classes(dataset, classes);
    if (a.verify) {
      dataset.verify_content();
      std::cout << "  content verified\n";
    }
  }
}

/// `count` of the rows, evenly spread.
std::vector<int64_t> spread_rows(const std::vector<int64_t>& rows, int64_t count) {
  const auto size = static_cast<int64_t>(rows.size());
  count = std::min(count, size);
  std::vector<int64_t> some;
  for (int64_t i = 0; i < count; ++i) { some.push_back(rows[static_cast<size_t>(i * size / count)]); }
  return some;
}

/// A grid for each class, its name and numbers above it.
void preview_classes(const Arguments& a, const ImageDataset& dataset, const std::vector<int64_t>& classes,
                     const GridOptions& grid) {
  const int64_t each = std::max<int64_t>(1, a.count / static_cast<int64_t>(classes.size()));
  std::vector<TitledImages> groups;
  int64_t shown = 0;
  for (const int64_t c : classes) {
    const std::vector<int64_t> rows = rows_of_class(dataset, c), some = spread_rows(rows, each);
    const std::string& name = dataset.class_names()[static_cast<size_t>(c)];
    if (rows.empty()) { throw IoError(cat(a.file, ": split \"", a.split, "\" has no image of class ", name)); }
    groups.push_back({cat(c, " ", name, ": ", some.size(), " of ", rows.size()), dataset.images(some)});
    shown += static_cast<int64_t>(some.size());
  }
  write_png(a.png, titled_grids(groups, grid));
  std::cout << a.png << ": " << shown << " images of " << classes.size()
            << (classes.size() == 1 ? " class" : " classes") << " of split " << a.split << "\n";
}

void write_preview(const Options& options, const Arguments& a) {
  const OutputFile png(a.png, a.overwrite, "--png", options.inputs());
  const ImageDataset dataset = ImageDataset::open(a.file, a.split);
  const int64_t count = std::min(a.count, dataset.size());
  if (count == 0) { throw IoError(cat(a.file, ": split \"", a.split, "\" is empty")); }
  GridOptions grid{.columns = a.columns, .padding = 2, .upscale = a.upscale};
  if (const std::vector<int64_t> classes = chosen_classes(a, dataset); !classes.empty()) {
    grid.background = 255;
    return preview_classes(a, dataset, classes, grid);
  }
  Tensor images = Tensor::empty({count, dataset.height(), dataset.width(), 3}, DType::kU8);
  // The first ones of a set whose classes go round; spread over one that is ordered by class.
  const bool ordered =
      std::is_sorted(dataset.labels().data<int64_t>(), dataset.labels().data<int64_t>() + dataset.size());
  for (int64_t i = 0; i < count; ++i) {
    images.select(0, i).copy_(dataset.image(ordered ? i * dataset.size() / count : i));
  }
  write_png(a.png, image_grid(images, grid));
  std::cout << a.png << ": " << count << " of " << dataset.size() << " images of split " << a.split << "\n";
}

/// run.json of a dataset lies beside it: data.h5 has data.run.json.
std::string record_of(const std::string& out) {
  return std::filesystem::path(out).replace_extension(".run.json").string();
}

/// What the record of a dataset is not written over. --config may be that record: it is written again.
std::vector<InputFile> inputs_but_config(const Options& options) {
  std::vector<InputFile> inputs = options.inputs();
  std::erase_if(inputs, [](const InputFile& input) { return input.option == "--config"; });
  return inputs;
}

void make_dataset(const Options& options, DatasetMaker& maker, const Arguments& a) {
  if (a.common.out.empty()) { throw ConfigError("--out FILE.h5 is needed: the dataset to write"); }
  const OutputFile file(a.common.out, a.overwrite, "--out", options.inputs());
  InputFiles(inputs_but_config(options)).refuse_output(record_of(a.common.out), "give another name with --out");
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
  write_file(record_of(a.common.out), checked_json_text(record.to_json()));
  print_info(a.common.out, a);
}

void run(int argc, char** argv) {
  Arguments arguments;
  Options options("prepare_data", "Makes image datasets for training, and shows what is in one.");
  declare(options, arguments);
  std::string examples = "examples:\n";
  for (const DatasetKind& kind : kDatasets) { examples += cat("  prepare_data ", kind.name, " ", kind.example, "\n"); }
  options.epilog(examples +
                 "  prepare_data preview figures.h5 --png figures.png\n"
                 "  prepare_data preview cifar100.h5 --classes apple,bear,42 --png some.png\n"
                 "  prepare_data info cifar100.h5 --class bear");
  options.parse(argc, argv);
  if (options.chosen() == "info") { return print_info(arguments.file, arguments); }
  if (options.chosen() == "preview") { return write_preview(options, arguments); }
  for (size_t i = 0; i < std::size(kDatasets); ++i) {
    if (options.chosen() == kDatasets[i].name) { make_dataset(options, *arguments.makers[i], arguments); }
  }
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
