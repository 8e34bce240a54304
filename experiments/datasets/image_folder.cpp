#include "data/datasets/image_folder.h"

#include "experiments/datasets/datasets.h"
#include "tensor/device/device.h"

namespace terrace {
namespace {

class ImageFolderMaker : public DatasetMaker {
 public:
  void declare(Options& options) override {
    options.add("folder", folder_, "folder with class folders, or with train/ (and val/, test/) that have them")
        .positional()
        .required()
        .input();
    options
        .add("size", images_.size,
             "side of the images in pixels: the short side is resized to it, then the centre is cropped")
        .range(1, 4096);
    options.add("filter", filter_, "resampling filter of the resize, antialiased")
        .choices({"box", "bilinear", "bicubic", "lanczos"});
    options.add("split", images_.split, "name of the split, where the folder has none of its own").metavar("NAME");
    options.add("test-every", images_.test_every, "put every N-th image into split test; 0: none").at_least(0);
    options.add("skip-bad", skip_bad_, "leave out files that cannot be read, and list them, instead of stopping");
  }

  std::vector<std::string> make(const DatasetOutput& output, const DatasetProgress& progress) override {
    images_.filter = resize_filter_from_name(filter_);
    images_.bad_files = skip_bad_ ? BadFiles::kSkip : BadFiles::kStop;
    images_.workers = threads();
    images_.compression = output.compression;
    const ImageFolderResult result = convert_image_folder(folder_, output.path, images_, progress);
    std::vector<std::string> reasons;
    for (const BadFile& bad : result.bad) { reasons.push_back(bad.reason); }
    return reasons;
  }

 private:
  std::string folder_, filter_ = "lanczos";
  ImageFolderOptions images_;
  bool skip_bad_ = false;
};

}  // namespace

std::unique_ptr<DatasetMaker> image_folder_maker() { return std::make_unique<ImageFolderMaker>(); }

}  // namespace terrace
