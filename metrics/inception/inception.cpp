#include "metrics/inception/inception.h"

#include <mutex>

#include "data/files/mapped_file.h"
#include "data/files/sha256.h"
#include "metrics/inception/device.h"
#include "metrics/inception/network.h"
#include "tensor/base/names.h"
#include "tensor/device/parallel.h"
#include "tensor/matmul.h"

namespace terrace {
namespace {

constexpr int64_t kLevels[] = {64, 192, 768, 2048};
constexpr int64_t kSpatialFeatures = 2023;
constexpr int64_t kLastLevel = 2048;

bool has_layer(const TensorFile& file, const std::string& name) {
  for (const char* part : {".conv.weight", ".bn.weight", ".bn.bias", ".bn.running_mean", ".bn.running_var"}) {
    if (!file.has(name + part)) { return false; }
  }
  return true;
}

/// Of the convolutions in order, the first that the file does not have; past the end where it has all.
size_t first_missing_step(const TensorFile& file) {
  const std::vector<InceptionStep>& steps = inception_plan().steps;
  size_t i = 0;
  while (i < steps.size() && (steps[i].name.empty() || has_layer(file, steps[i].name))) { ++i; }
  return i;
}

std::string hash_of(const std::string& path) {
  const auto file = MappedFile::open(path);
  return sha256_hex(file->data(), static_cast<size_t>(file->size()));
}

std::string list(const InceptionCoverage& coverage) {
  std::vector<std::string> parts;
  for (const int64_t level : coverage.levels) { parts.push_back(cat("level ", level)); }
  if (coverage.spatial) { parts.emplace_back("the spatial features of sFID"); }
  if (coverage.logits) { parts.emplace_back("the logits"); }
  return parts.empty() ? "nothing" : join_names(parts);
}

void check_coverage(const TensorFile& weights, const InceptionRequest& request) {
  const InceptionCoverage coverage = inception_coverage(weights);
  const auto demand = [&](bool served, const std::string& what) {
    if (served) { return; }
    throw ConfigError(cat(weights.path(), ": ", what, " cannot be computed: the first layer that is missing is ",
                          coverage.first_missing, "; the file serves ", list(coverage),
                          ". `make inception` downloads the whole network"));
  };
  bool level_served = request.level == 0;
  for (const int64_t level : coverage.levels) { level_served |= level == request.level; }
  demand(level_served, cat("level ", request.level));
  demand(coverage.spatial || !request.spatial, "the spatial features of sFID");
  demand(coverage.logits || !request.logits, "the logits");
}

void check_request(const InceptionRequest& request) {
  if (request.level != 0) { inception_level(request.level); }
  if (request.level == 0 && !request.spatial && !request.logits) {
    throw ConfigError("inception: nothing is asked for: a level, the spatial features or the logits");
  }
}

void check_placement(const InceptionPlacement& placement) {
  if (!placement.device.is_cpu() || placement.dtype == DType::kF32) { return; }
  throw DTypeError(
      cat("inception: on the CPU it computes in f32, not in ", placement.dtype, "; in bf16 on a GPU, --device cuda"));
}

Tensor read_classes(const TensorFile& weights, const std::string& key, const Shape& shape) {
  if (weights.entry(key).shape != shape) {
    throw ShapeError(cat(weights.path(), ": ", key, " is ", weights.entry(key).shape, ", Inception-v3's is ", shape));
  }
  return weights.read(key, DType::kF32);
}

/// Working memory handed to whichever thread computes the next image.
class Workspaces {
 public:
  explicit Workspaces(const InceptionNetwork& network) : network_(network) {}
  std::unique_ptr<InceptionWorkspace> take() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        auto workspace = std::move(free_.back());
        free_.pop_back();
        return workspace;
      }
    }
    return std::make_unique<InceptionWorkspace>(network_.workspace());
  }
  void give_back(std::unique_ptr<InceptionWorkspace> workspace) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(workspace));
  }

 private:
  const InceptionNetwork& network_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<InceptionWorkspace>> free_;
};

}  // namespace

const char* name_of(InceptionReading reading) { return reading == InceptionReading::kAdm ? "adm" : "pytorch-fid"; }

InceptionCoverage inception_coverage(const TensorFile& weights) {
  const InceptionPlan& plan = inception_plan();
  const size_t reached = first_missing_step(weights);
  InceptionCoverage coverage;
  for (const int64_t level : kLevels) {
    if (inception_level(level).steps <= reached) { coverage.levels.push_back(level); }
  }
  coverage.spatial = plan.spatial.steps <= reached;
  const bool classes = weights.has("fc.weight") && weights.has("fc.bias");
  coverage.logits = reached == plan.steps.size() && classes;
  if (!coverage.logits) { coverage.first_missing = reached < plan.steps.size() ? plan.steps[reached].name : "fc"; }
  return coverage;
}

Inception::Inception(const std::string& weights_file, InceptionReading reading, InceptionRequest request,
                     InceptionPlacement placement)
    : Inception(open_tensor_file(weights_file), reading, request, placement) {
  weights_hash_ = hash_of(weights_file);
}

Inception::Inception(const TensorFile& weights, InceptionReading reading, InceptionRequest request,
                     InceptionPlacement placement)
    : reading_(reading), request_(request), placement_(placement) {
  check_request(request);
  check_placement(placement);
  check_coverage(weights, request);
  complete_ = inception_coverage(weights).first_missing.empty();
  std::vector<InceptionRead> reads;
  if (request.level != 0) { reads.push_back({inception_level(request.level), InceptionRead::What::kMeans}); }
  if (request.spatial) { reads.push_back({inception_plan().spatial, InceptionRead::What::kFirstChannels}); }
  if (request.logits) {
    reads.push_back({inception_level(kLastLevel), InceptionRead::What::kMeans});
    classes_ = read_classes(weights, "fc.weight", {kInceptionClasses, kLastLevel}).to(placement.device);
    if (reading == InceptionReading::kPytorchFid) {
      bias_ = read_classes(weights, "fc.bias", {kInceptionClasses}).to(placement.device);
    }
  }
  if (placement.device.is_cpu()) {
    network_ = std::make_shared<const InceptionNetwork>(weights, std::move(reads));
  } else {
    device_network_ =
        std::make_shared<const InceptionDeviceNetwork>(weights, std::move(reads), placement.device, placement.dtype);
  }
}

/// What the network reads, in the order of its reads.
std::vector<Tensor> Inception::run_on_cpu(const Tensor& images) const {
  const int64_t count = images.dim(0), size = 3 * kInceptionSize * kInceptionSize;
  std::vector<Tensor> results;
  if (request_.level != 0) { results.push_back(Tensor::empty({count, request_.level})); }
  if (request_.spatial) { results.push_back(Tensor::empty({count, kSpatialFeatures})); }
  if (request_.logits) { results.push_back(Tensor::empty({count, kLastLevel})); }
  const Tensor source = images.to(kCpu).contiguous();
  const float* first = source.data<float>();
  Workspaces workspaces(*network_);
  each_on_one_thread(count, [&](int64_t i) {
    std::vector<float*> rows;
    for (const Tensor& result : results) { rows.push_back(result.data<float>() + i * result.dim(1)); }
    auto workspace = workspaces.take();
    network_->run(first + i * size, rows, *workspace);
    workspaces.give_back(std::move(workspace));
  });
  return results;
}

InceptionActivations Inception::operator()(const Tensor& images) const {
  check_dtype(images, DType::kF32, "inception", "images");
  check_ndim(images, 4, "inception", "images");
  check_shape(images, {images.dim(0), 3, kInceptionSize, kInceptionSize}, "inception", "images");
  const std::vector<Tensor> read = network_ ? run_on_cpu(images) : (*device_network_)(images.to(placement_.device));
  InceptionActivations result;
  auto next = read.begin();
  if (request_.level != 0) { result.features = *next++; }
  if (request_.spatial) { result.spatial = *next++; }
  if (request_.logits) { result.logits = linear(*next, classes_, bias_); }
  return result;
}

}  // namespace terrace
