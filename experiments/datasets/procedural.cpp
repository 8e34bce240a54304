#include "data/datasets/procedural.h"

#include "experiments/datasets/datasets.h"

namespace terrace {
namespace {

class ProceduralMaker : public DatasetMaker {
 public:
  void declare(Options& options) override {
    options.add("count", pictures_.train, "images of split train").range(1, 1e9);
    options.add("test-count", pictures_.test, "images of split test, 0 for no such split").range(0, 1e9);
  }

  std::vector<std::string> make(const DatasetOutput& output, const DatasetProgress& progress) override {
    pictures_.seed = output.seed;
    pictures_.compression = output.compression;
    create_procedural(output.path, pictures_, [&](int64_t done, int64_t total) { progress(done, total, 0); });
    return {};
  }

 private:
  ProceduralOptions pictures_;
};

}  // namespace

std::unique_ptr<DatasetMaker> procedural_maker() { return std::make_unique<ProceduralMaker>(); }

}  // namespace terrace
