// Inception-v3 as the network of an evaluation, by published protocol.
#pragma once

#include <string>
#include <vector>

#include "metrics/collect.h"
#include "metrics/inception/inception.h"

namespace terrace {

/// Whose figures a number is comparable with: which resize to 299 x 299 comes before the network.
enum class Protocol : uint8_t {
  kPytorchFid,  // bilinear, half-pixel centres, no antialiasing
  kAdm,         // as TensorFlow 1: bilinear without half-pixel centres
  kClean,       // PIL's bicubic with antialiasing, in float
};
const std::vector<std::string>& protocol_names();  // "pytorch-fid", "adm", "clean"
Protocol protocol_from_name(const std::string& name);
const char* name_of(Protocol protocol);
const char* resize_of(Protocol protocol);  // what it does, in words

struct InceptionOptions {
  std::string weights = {};  // "": find_inception_weights()
  Protocol protocol = Protocol::kPytorchFid;
  int64_t level = 2048;
  bool spatial = false, logits = false;
  InceptionPlacement placement = {};  // off the CPU images are resized, and moments summed, on the device too
};

/// The network and what its numbers have to say of it.
struct InceptionFeatures {
  FeatureNetwork network;
  std::string weights_hash;  // 64 digits
  bool complete = false;     // the file holds the whole network
};

/// Throws ConfigError where no weights are found, or the file does not reach the level; DTypeError for a type that the
/// device does not have.
InceptionFeatures open_inception(const InceptionOptions& options);

/// "FID", or "FID(768)" where the level is another or the weights are not whole: such a number is comparable with its
/// like alone.
std::string level_name(const std::string& metric, int64_t level, bool complete);

}  // namespace terrace
