// The datasets that prepare_data makes: one table, which the program's commands, its --help and the tests ask.
//
// To add one, write a DatasetMaker in a source of its own in this folder, and put its factory and its line below.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/hdf5/file.h"
#include "experiments/cli/options.h"

namespace terrace {

/// Options that all datasets have.
struct DatasetOutput {
  std::string path;
  uint64_t seed = 0;
  Compression compression = Compression::kNone;
};

/// Called with (pictures done, pictures in all, files left out); may throw to stop.
using DatasetProgress = std::function<void(int64_t done, int64_t total, int64_t skipped)>;

class DatasetMaker {
 public:
  virtual ~DatasetMaker() = default;
  /// Declares the options that only this dataset has. Their targets are members, which make() then reads.
  virtual void declare(Options& options) = 0;
  /// Writes the dataset. Returns why files were left out, a line for each of them.
  virtual std::vector<std::string> make(const DatasetOutput& output, const DatasetProgress& progress) = 0;
};

struct DatasetKind {
  const char* name;     // the command
  const char* purpose;  // its line of --help
  const char* example;  // what follows the name in the examples of --help
  std::unique_ptr<DatasetMaker> (*maker)();
};

std::unique_ptr<DatasetMaker> cifar100_maker();
std::unique_ptr<DatasetMaker> image_folder_maker();
std::unique_ptr<DatasetMaker> procedural_maker();

inline constexpr DatasetKind kDatasets[] = {
    {"cifar100", "converts CIFAR-100 from its published binary files", "cifar-100-binary.tar.gz --out cifar100.h5",
     cifar100_maker},
    {"images", "converts a folder of JPEG and PNG files, one folder a class", "imagenet --size 64 --out imagenet64.h5",
     image_folder_maker},
    {"procedural", "generates 32x32 images: shape, colour and place are the class", "--count 16000 --out figures.h5",
     procedural_maker},
};

}  // namespace terrace
