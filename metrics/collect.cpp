#include "metrics/collect.h"

#include <algorithm>
#include <cstring>

#include "data/datasets/prefetcher.h"
#include "data/files/sha256.h"
#include "tensor/device/parallel.h"

namespace terrace {
namespace {

constexpr int64_t kLogRowsAtOnce = 256;

/// An image, or why there is none.
struct Decoded {
  Tensor image;
  BadFile bad;
};

Decoded decode(const ImageSource& source, int64_t i, BadFiles bad_files) {
  if (bad_files == BadFiles::kStop || !source.separate_files()) { return {.image = source.image(i), .bad = {}}; }
  try {
    return {.image = source.image(i), .bad = {}};
  } catch (const IoError& error) { return {.image = {}, .bad = {.path = cat("image ", i), .reason = error.what()}}; }
}

void hash_image(Sha256& hash, const Tensor& image) {
  const int64_t extents[2] = {image.dim(0), image.dim(1)};
  hash.update(extents, sizeof extents);
  hash.update(image.raw_data(), static_cast<size_t>(image.numel()));
}

/// What the decoding thread hands over.
struct Prepared {
  std::vector<Tensor> inputs;  // (b, ...) each: images of one shape that follow one another; none could be read: empty
  std::vector<int64_t> labels;
  std::vector<BadFile> bad;
  int64_t taken = 0;  // images of the source, read or not
};

/// Rows of one shape as one tensor.
Tensor stacked(const Tensor* rows, size_t count) {
  std::vector<int64_t> extents(rows[0].shape().begin(), rows[0].shape().end());
  extents.insert(extents.begin(), static_cast<int64_t>(count));
  Tensor batch = Tensor::empty(Shape(extents), rows[0].dtype());
  const int64_t bytes = rows[0].numel() * size_of(rows[0].dtype());
  for (size_t r = 0; r < count; ++r) {
    std::memcpy(static_cast<std::byte*>(batch.raw_data()) + static_cast<int64_t>(r) * bytes, rows[r].raw_data(),
                static_cast<size_t>(bytes));
  }
  return batch;
}

Prepared prepare(const ImageSource& source, const FeatureNetwork& network, const CollectOptions& options, int64_t begin,
                 Sha256* hash) {
  const int64_t end = std::min(source.size(), begin + options.batch);
  Prepared result;
  result.taken = end - begin;
  std::vector<Tensor> rows;
  for (int64_t i = begin; i < end; ++i) {
    Decoded decoded = decode(source, i, options.bad_files);
    if (!decoded.image.defined()) {
      result.bad.push_back(std::move(decoded.bad));
      continue;
    }
    if (hash != nullptr) { hash_image(*hash, decoded.image); }
    rows.push_back(network.prepare(decoded.image).contiguous());
    result.labels.push_back(source.label(i));
  }
  for (size_t begin_run = 0; begin_run < rows.size();) {
    size_t end_run = begin_run + 1;
    while (end_run < rows.size() && rows[end_run].shape() == rows[begin_run].shape()) { ++end_run; }
    result.inputs.push_back(stacked(&rows[begin_run], end_run - begin_run));
    begin_run = end_run;
  }
  return result;
}

/// Where activations go.
class Sink {
 public:
  Sink(const FeatureNetwork& network, const CollectOptions& options)
      : device_(network.device), features_(network.dim, network.device) {
    if (options.features == KeepRows::kYes) { rows_ = std::make_shared<DiskRows>(network.dim); }
  }

  void take(const Activations& activations) {
    features_.add(activations.features);
    if (rows_) { rows_->append(activations.features.to(kCpu)); }
    if (activations.spatial.defined()) {
      if (!spatial_) { spatial_.emplace(activations.spatial.dim(1), device_); }
      spatial_->add(activations.spatial);
    }
    if (activations.logits.defined()) {
      if (!logits_) { logits_ = std::make_shared<DiskRows>(activations.logits.dim(1)); }
      logits_->append(activations.logits.to(kCpu));
    }
  }

  void finish(Collected& result) const {
    result.count = features_.count();
    if (result.count < 2) {
      throw Error(cat("a set of ", result.count, " image", result.count == 1 ? "" : "s",
                      " has no covariance; two or more are needed"));
    }
    result.statistics.features = features_.gaussian();
    if (spatial_) { result.statistics.spatial = spatial_->gaussian(); }
    result.features = rows_;
    result.logits = logits_;
  }

 private:
  Device device_;
  Moments features_;
  std::optional<Moments> spatial_;
  std::shared_ptr<DiskRows> rows_, logits_;
};

std::string hash_text(const Sha256& hash) { return "sha256:" + hash.hex(); }

}  // namespace

ContentHash content_hash_of(const ImageSource& source, BadFiles bad_files,
                            const std::function<void(int64_t done, int64_t total)>& progress) {
  Sha256 hash;
  ContentHash result;
  if (progress) { progress(0, source.size()); }
  for (int64_t i = 0; i < source.size(); ++i) {
    const Decoded decoded = decode(source, i, bad_files);
    if (decoded.image.defined()) {
      hash_image(hash, decoded.image);
      result.labels.push_back(source.label(i));
    } else {
      result.bad.push_back(decoded.bad);
    }
    if (progress) { progress(i + 1, source.size()); }
  }
  result.text = hash_text(hash);
  return result;
}

namespace {

/// Images [first, size) through the network into the sink; what is of the images themselves, of all, into the result.
/// The hash, unless null, is fed with those that are read.
void run_network(const ImageSource& source, const FeatureNetwork& network, const CollectOptions& options, int64_t first,
                 Sha256* hash, const std::function<void(const Activations&)>& take, Collected& result) {
  const int64_t batches = (source.size() - first + options.batch - 1) / options.batch;
  // One worker: its batches are made in their order, so that the hash is fed in order.
  const auto make = [&](int64_t i) {
    Prepared made;
    each_on_one_thread(1, [&](int64_t) { made = prepare(source, network, options, first + i * options.batch, hash); });
    return made;
  };
  Prefetcher<Prepared> prepared(make, 0, 1, 2, batches);
  int64_t done = first;
  if (options.progress) { options.progress(done, source.size()); }
  for (int64_t i = 0; i < batches; ++i) {
    Prepared next = prepared.next();
    for (const Tensor& input : next.inputs) { take(network.run(input)); }
    result.labels.insert(result.labels.end(), next.labels.begin(), next.labels.end());
    result.bad.insert(result.bad.end(), next.bad.begin(), next.bad.end());
    done += next.taken;
    if (options.progress) { options.progress(done, source.size()); }
  }
  result.class_names = source.class_names();
}

void check(const CollectOptions& options) {
  if (options.batch < 1) { throw ConfigError(cat("collect: a batch of ", options.batch)); }
}

}  // namespace

Collected collect(const ImageSource& source, const FeatureNetwork& network, const CollectOptions& options) {
  check(options);
  Collected result;
  Sink sink(network, options);
  Sha256 hash;
  run_network(
      source, network, options, 0, &hash, [&](const Activations& a) { sink.take(a); }, result);
  result.content_hash = hash_text(hash);
  sink.finish(result);
  return result;
}

Collected collect(const ImageSource& source, const FeatureNetwork& network, const CollectOptions& options,
                  const std::string& content_hash, ActivationLog& log) {
  check(options);
  CollectOptions strict = options;
  strict.bad_files = BadFiles::kStop;  // a gap would shift what is in the log
  Collected result;
  Sink sink(network, strict);
  const int64_t first = std::min(log.size(), source.size());
  for (int64_t begin = 0; begin < first; begin += kLogRowsAtOnce) {
    sink.take(log.read(begin, std::min(first, begin + kLogRowsAtOnce)));
  }
  for (int64_t i = 0; i < first; ++i) { result.labels.push_back(source.label(i)); }
  const auto take = [&](const Activations& activations) {
    sink.take(activations);  // which refuses values that are not finite, before they are kept
    log.append(activations);
  };
  run_network(source, network, strict, first, nullptr, take, result);
  result.content_hash = content_hash;
  sink.finish(result);
  return result;
}

}  // namespace terrace
