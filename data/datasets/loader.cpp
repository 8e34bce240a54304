#include "data/datasets/loader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>

#include "data/datasets/prefetcher.h"
#include "data/images/pixels.h"
#include "tensor/base/error.h"
#include "tensor/random.h"
#include "tensor/random_streams.h"

namespace terrace {
namespace {

void flip_horizontally(uint8_t* image, int64_t height, int64_t width) {
  for (int64_t y = 0; y < height; ++y) {
    uint8_t* row = image + y * width * 3;
    for (int64_t left = 0, right = width - 1; left < right; ++left, --right) {
      std::swap_ranges(row + 3 * left, row + 3 * left + 3, row + 3 * right);
    }
  }
}

}  // namespace

std::vector<int64_t> epoch_order(int64_t count, uint64_t seed, int64_t epoch) {
  return random_permutation(count, Generator(seed, streams::kLoaderOrder + epoch));
}

struct Loader::Impl {
  ImageDataset dataset;
  LoaderOptions options;
  int64_t steps_per_epoch;
  Tensor preloaded;  // u8 (N, H, W, 3), undefined without preload
  std::mutex mutex;  // guards the order below
  int64_t order_epoch = -1;
  std::shared_ptr<const std::vector<int64_t>> order;
  std::unique_ptr<Prefetcher<Batch>> batches;  // last, so that its threads end before what they use

  Impl(ImageDataset dataset_, const LoaderOptions& options_) : dataset(std::move(dataset_)), options(options_) {}

  std::shared_ptr<const std::vector<int64_t>> order_of(int64_t epoch) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (order_epoch != epoch) {
      order = std::make_shared<std::vector<int64_t>>(epoch_order(dataset.size(), options.seed, epoch));
      order_epoch = epoch;
    }
    return order;
  }

  Batch make(int64_t ticket) {
    Batch batch;
    batch.epoch = ticket / steps_per_epoch;
    batch.step = ticket % steps_per_epoch;
    const int64_t begin = batch.step * options.batch;
    const int64_t end = std::min(begin + options.batch, dataset.size());
    std::vector<int64_t> indices;
    if (options.order == Order::kShuffled) {
      const auto epoch_indices = order_of(batch.epoch);
      indices.assign(epoch_indices->begin() + begin, epoch_indices->begin() + end);
    } else {
      for (int64_t i = begin; i < end; ++i) { indices.push_back(i); }
    }
    fill(batch, indices);
    return batch;
  }

  void fill(Batch& batch, const std::vector<int64_t>& indices) const {
    const int64_t B = static_cast<int64_t>(indices.size()), H = dataset.height(), W = dataset.width();
    const int64_t bytes = H * W * 3;
    Tensor images = Tensor::empty({B, H, W, 3}, DType::kU8);
    std::vector<int64_t> labels;
    const int64_t* all_labels = dataset.labels().data<int64_t>();
    for (int64_t b = 0; b < B; ++b) {
      const int64_t index = indices[static_cast<size_t>(b)];
      uint8_t* image = images.data<uint8_t>() + b * bytes;
      if (preloaded.defined()) {
        std::memcpy(image, preloaded.data<uint8_t>() + index * bytes, static_cast<size_t>(bytes));
      } else {
        const Tensor row = dataset.image(index);
        std::memcpy(image, row.data<uint8_t>(), static_cast<size_t>(bytes));
      }
      if (options.flip == Flip::kRandom) {
        Generator draw(options.seed, streams::kLoaderFlip + batch.epoch);
        draw.offset = static_cast<uint64_t>(index);
        if (draw.next_uniform() < 0.5) { flip_horizontally(image, H, W); }
      }
      labels.push_back(all_labels[index]);
    }
    batch.images = options.format == ImageFormat::kFloat ? images_to_float(images) : images;
    batch.labels = Tensor::from(labels, {B});
    batch.indices = Tensor::from(indices, {B});
  }
};

Loader::Loader(ImageDataset dataset, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(std::move(dataset), options)) {
  Impl& impl = *impl_;
  const int64_t N = impl.dataset.size(), batch = options.batch;
  if (batch < 1) { throw ConfigError(cat("loader: batch must be at least 1, got ", batch)); }
  if (options.workers < 0) { throw ConfigError(cat("loader: workers must not be negative, got ", options.workers)); }
  impl.steps_per_epoch = options.last == LastBatch::kDrop ? N / batch : (N + batch - 1) / batch;
  if (impl.steps_per_epoch < 1) {
    throw ConfigError(cat("loader: split \"", impl.dataset.split(), "\" of ", impl.dataset.path(), " has ", N,
                          " images, which do not fill a batch of ", batch));
  }
  if (options.epoch < 0 || options.step < 0 || options.step >= impl.steps_per_epoch) {
    throw ConfigError(cat("loader: cannot begin at epoch ", options.epoch, ", batch ", options.step, ": an epoch has ",
                          impl.steps_per_epoch, " batches"));
  }
  if (options.preload == Preload::kYes) { impl.preloaded = impl.dataset.images(0, N); }
  impl.batches = std::make_unique<Prefetcher<Batch>>([&impl](int64_t ticket) { return impl.make(ticket); },
                                                     options.epoch * impl.steps_per_epoch + options.step,
                                                     options.workers, options.ahead);
}

Loader::~Loader() = default;

Batch Loader::next() { return impl_->batches->next(); }
int64_t Loader::steps_per_epoch() const { return impl_->steps_per_epoch; }

}  // namespace terrace
