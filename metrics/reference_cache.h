// Statistics and features of sets of images, cached in a folder, so that a reference goes through the network once.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "metrics/collect.h"

namespace terrace {

/// The key holds everything that the activations depend on: pixels, network, weights, level, resize. What is in a file
/// is checked against it; a damaged or foreign file counts as none, with a note that names it.
class ReferenceCache {
 public:
  /// "": nothing is kept. The folder is made when something is.
  explicit ReferenceCache(std::string folder) : folder_(std::move(folder)) {}
  /// TERRACE_CACHE, else user_cache_folder().
  static std::string default_folder();
  bool keeps() const { return !folder_.empty(); }

  /// What was kept of these images, with features in memory of the file where `features` asks for them; nullopt
  /// where nothing is cached, or no features though they are asked for.
  std::optional<Collected> find(const std::string& content_hash, const std::string& identity, KeepRows features) const;
  /// Keeps statistics, labels, class names and the rows that are there. A folder that cannot be written to is an
  /// IoError.
  void store(const Collected& collected, const std::string& identity) const;
  /// The log of an unfinished pass, to resume it; null where another process has it open. Removes logs that nobody has
  /// written to for 30 days, and what processes that have ended were writing.
  std::unique_ptr<ActivationLog> log(const std::string& content_hash, const std::string& identity) const;

 private:
  void make_folder() const;
  void remove_old() const;
  std::string path(const std::string& content_hash, const std::string& identity) const;
  std::string folder_;
};

/// From the cache, else through the network and into the cache. Images are read once more for their key, but not where
/// nothing is kept. A pass that was interrupted goes on where it stopped.
Collected collect_cached(const ImageSource& source, const FeatureNetwork& network, const CollectOptions& options,
                         const ReferenceCache& cache);

/// Through the network, going on where an interrupted pass stopped; nothing stays in the cache when it is done.
Collected collect_resumable(const ImageSource& source, const FeatureNetwork& network, const CollectOptions& options,
                            const ReferenceCache& cache);

}  // namespace terrace
