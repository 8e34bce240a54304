// Runs a set of images through a network: sums the moments of their features, and keeps rows of features where a metric
// needs them later.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/datasets/image_folder.h"
#include "data/datasets/image_source.h"
#include "metrics/activation_log.h"
#include "metrics/feature_rows.h"
#include "metrics/statistics_file.h"

namespace terrace {

/// A network whose features sets of images are compared by, and how its input is made.
struct FeatureNetwork {
  std::string identity;  // network, weights, level, resize: all that its numbers depend on beside the images
  int64_t dim = 0;       // d
  /// u8 (H, W, 3) to one row of the network's input; called by another thread than `run`, which gets rows of one shape.
  std::function<Tensor(const Tensor& image)> prepare;
  std::function<Activations(const Tensor& batch)> run;
  Device device = kCpu;  // where the activations are, and moments are summed
};

enum class KeepRows : uint8_t { kNo, kYes };

struct CollectOptions {
  int64_t batch = 32;
  KeepRows features = KeepRows::kNo;  // on disk (DiskRows)
  BadFiles bad_files = BadFiles::kStop;
  /// Called before the first batch, with the images that are there already, and after each. May throw to stop.
  std::function<void(int64_t done, int64_t total)> progress = {};
  std::function<void(int64_t done, int64_t total)> hashing = {};  // of the pass that hashes the pixels
};

struct Collected {
  ImageStatistics statistics;                           // spatial where the network gives it
  std::shared_ptr<const FeatureRows> features, logits;  // null: not kept
  std::vector<int64_t> labels;                          // of each row
  std::vector<std::string> class_names;
  std::vector<BadFile> bad;  // skipped
  std::string content_hash;  // content_hash_of
  int64_t count = 0;
};

struct ContentHash {
  std::string text;             // "sha256:..."
  std::vector<BadFile> bad;     // left out
  std::vector<int64_t> labels;  // of the others
};

/// SHA-256 of the extents and pixels of each, in order: the same for the same pictures whatever
/// file holds them. Those that cannot be read are left out where bad files are skipped.
ContentHash content_hash_of(const ImageSource& source, BadFiles bad_files = BadFiles::kStop,
                            const std::function<void(int64_t done, int64_t total)>& progress = {});

/// Decoding runs ahead in a thread of its own; memory does not depend on the number of images. Throws IoError naming a
/// file that cannot be read, unless bad files are skipped (which is for separate files alone); Error where fewer than
/// two images remain.
Collected collect(const ImageSource& source, const FeatureNetwork& network, const CollectOptions& options);

/// The same, going on behind the images that `log` holds and adding the activations of the others to it; the result
/// is equal to the last bit. `content_hash` is the set's, all of whose images can be read: a bad file is an IoError.
Collected collect(const ImageSource& source, const FeatureNetwork& network, const CollectOptions& options,
                  const std::string& content_hash, ActivationLog& log);

}  // namespace terrace
