#include "experiments/evaluation/inception_features.h"

#include <algorithm>
#include <memory>

#include "metrics/inception/resize.h"
#include "metrics/inception/weights.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

struct ProtocolRow {
  const char* name;
  const char* words;
  InceptionResize resize;
};
constexpr ProtocolRow kProtocols[] = {
    {"pytorch-fid", "bilinear, half-pixel centres, no antialiasing", InceptionResize::kPytorch},
    {"adm", "bilinear of TensorFlow 1, without half-pixel centres", InceptionResize::kTf1},
    {"clean", "PIL's bicubic, antialiased, in float", InceptionResize::kClean},
};
const ProtocolRow& row_of(Protocol protocol) { return kProtocols[static_cast<size_t>(protocol)]; }

}  // namespace

const std::vector<std::string>& protocol_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const ProtocolRow& row : kProtocols) { all.emplace_back(row.name); }
    return all;
  }();
  return names;
}

Protocol protocol_from_name(const std::string& name) {
  const auto& names = protocol_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) { throw ConfigError(cat("protocol \"", name, "\"; known: pytorch-fid, adm, clean")); }
  return static_cast<Protocol>(found - names.begin());
}

const char* name_of(Protocol protocol) { return row_of(protocol).name; }
const char* resize_of(Protocol protocol) { return row_of(protocol).words; }

InceptionFeatures open_inception(const InceptionOptions& options) {
  const std::string file = options.weights.empty() ? find_inception_weights() : options.weights;
  if (file.empty()) {
    throw ConfigError(
        "no weights of the Inception network: `make inception` fetches them; "
        "--weights FILE or TERRACE_INCEPTION name a file that is here");
  }
  // Of the readings only the logits differ: every published Inception Score is of those without the bias.
  const auto inception = std::make_shared<const Inception>(
      file, InceptionReading::kAdm,
      InceptionRequest{.level = options.level, .spatial = options.spatial, .logits = options.logits},
      options.placement);
  const InceptionResize resize = row_of(options.protocol).resize;
  InceptionFeatures result{.network = {}, .weights_hash = inception->weights_hash(), .complete = inception->complete()};
  result.network.identity =
      cat("Inception-v3 (2015-12-05), weights sha256:", inception->weights_hash(), ", level ", options.level,
          ", spatial ", options.spatial, ", logits ", options.logits, ", resize ", row_of(options.protocol).name);
  const InceptionPlacement& placement = options.placement;
  if (!placement.device.is_cpu()) {
    result.network.identity += cat(", in ", placement.dtype, " on ", name_of(backend_of(placement.device)));
  }
  result.network.dim = options.level;
  result.network.device = placement.device;
  if (placement.device.is_cpu()) {
    result.network.prepare = [resize](const Tensor& image) {
      return inception_input(image.unsqueeze(0), resize).select(0, 0);
    };
  } else {
    result.network.prepare = [](const Tensor& image) { return image; };
  }
  result.network.run = [inception, resize](const Tensor& batch) {
    const Device device = inception->placement().device;
    const InceptionActivations a = (*inception)(device.is_cpu() ? batch : inception_input(batch.to(device), resize));
    return Activations{.features = a.features, .spatial = a.spatial, .logits = a.logits};
  };
  return result;
}

std::string level_name(const std::string& metric, int64_t level, bool complete) {
  if (level == 2048 && complete) { return metric; }
  return cat(metric, "(", level, complete || level != 2048 ? "" : ", partial weights", ")");
}

}  // namespace terrace
