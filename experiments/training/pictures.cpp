#include "experiments/training/pictures.h"

#include <algorithm>
#include <vector>

#include "data/datasets/subset.h"
#include "data/images/image_file.h"
#include "data/images/pixels.h"
#include "experiments/evaluation/frechet_evaluator.h"
#include "experiments/report/caption.h"

namespace terrace {
namespace {

constexpr int64_t kColumns = 8;

}  // namespace

void write_reconstructions(const std::string& path, const Vqvae& model, const ImageDataset& images, int64_t count) {
  const Tensor originals = images.images(part_of(images.size(), count));
  const Tensor again = images_to_bytes(model.reconstruct(images_to_float(originals)));
  Shape shape = originals.shape();
  const int64_t shown = shape[0], columns = std::min(kColumns, shown), rows = (shown + columns - 1) / columns;
  shape[0] = 2 * rows * columns;
  Tensor all = Tensor::full(shape, GridOptions().background, DType::kU8);  // the last pair of rows may be incomplete
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t begin = row * columns, end = std::min(begin + columns, shown), top = 2 * begin;
    all.slice(0, top, top + end - begin).copy_(originals.slice(0, begin, end));
    all.slice(0, top + columns, top + columns + end - begin).copy_(again.slice(0, begin, end));
  }
  GridOptions grid;
  grid.columns = columns;
  write_png(path, image_grid(all, grid));
}

void write_samples(const std::string& path, VarTransformer& model, Vqvae& tokenizer,
                   const std::vector<std::string>& class_names, int64_t count) {
  const int64_t classes = model.config().num_classes;
  std::vector<int64_t> labels;
  std::vector<std::string> captions;
  for (int64_t i = 0; i < count; ++i) {
    labels.push_back(classes > count ? i * classes / count : i % classes);
    captions.push_back(class_names.empty() ? std::to_string(labels.back())
                                           : class_names[static_cast<size_t>(labels.back())]);
  }
  write_png(path, captioned_grid(draw_images(model, tokenizer, labels), captions, kColumns));
}

}  // namespace terrace
