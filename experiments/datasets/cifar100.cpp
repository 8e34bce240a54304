#include "data/datasets/cifar100.h"

#include "experiments/datasets/datasets.h"

namespace terrace {
namespace {

class Cifar100Maker : public DatasetMaker {
 public:
  void declare(Options& options) override {
    options.add("source", source_, "folder with train.bin and test.bin, or the .tar.gz")
        .positional()
        .required()
        .input();
    options.add("any-count", any_count_, "accept files that hold another number of images than the published ones");
  }

  std::vector<std::string> make(const DatasetOutput& output, const DatasetProgress& progress) override {
    convert_cifar100(source_, output.path, any_count_ ? CifarCount::kAny : CifarCount::kPublished, output.compression,
                     [&](int64_t done, int64_t total) { progress(done, total, 0); });
    return {};
  }

 private:
  std::string source_;
  bool any_count_ = false;
};

}  // namespace

std::unique_ptr<DatasetMaker> cifar100_maker() { return std::make_unique<Cifar100Maker>(); }

}  // namespace terrace
