#include "metrics/reference_cache.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "data/files/cache_folder.h"
#include "data/files/descriptor.h"
#include "data/files/file_lock.h"
#include "data/files/leftovers.h"
#include "data/files/sha256.h"
#include "data/hdf5/file.h"
#include "tensor/base/notes.h"

namespace terrace {
namespace {

constexpr int64_t kVersion = 1;
constexpr int64_t kRowsAtOnce = 1024;

/// Rows of a dataset of an HDF5 file.
class StoredRows : public FeatureRows {
 public:
  StoredRows(std::shared_ptr<const Hdf5File> file, std::string name)
      : file_(std::move(file)), name_(std::move(name)), shape_(file_->shape(name_)) {}
  int64_t size() const override { return shape_[0]; }
  int64_t dim() const override { return shape_[1]; }
  Tensor read(int64_t begin, int64_t end) const override { return file_->read_rows(name_, begin, end).to(DType::kF64); }

 private:
  std::shared_ptr<const Hdf5File> file_;
  std::string name_;
  Shape shape_;
};

void write_gaussian(Hdf5File& file, const std::string& group, const Gaussian& g) {
  file.write(group + "/mean", g.mean);
  file.write(group + "/covariance", g.covariance);
}

bool all_finite(const Tensor& values) {
  const std::vector<double> all = values.to_vector<double>();
  return std::all_of(all.begin(), all.end(), [](double value) { return std::isfinite(value); });
}

Gaussian read_gaussian(const Hdf5File& file, const std::string& group, int64_t count) {
  Gaussian g{.mean = file.read(group + "/mean", DType::kF64),
             .covariance = file.read(group + "/covariance", DType::kF64),
             .count = count};
  if (!all_finite(g.mean) || !all_finite(g.covariance)) {
    throw IoError(cat(file.path(), ": \"", group, "\" holds values that are not finite"));
  }
  const int64_t d = g.mean.numel();
  if (d == 0 || g.mean.ndim() != 1 || g.covariance.shape() != Shape{d, d}) {
    throw IoError(cat(file.path(), ": \"", group, "\" has a mean ", g.mean.shape(), " and a covariance ",
                      g.covariance.shape(), ", which do not fit each other"));
  }
  return g;
}

void write_rows(Hdf5File& file, const std::string& name, const FeatureRows& rows) {
  file.create_rows(name, {rows.dim()}, DType::kF32);
  for (int64_t begin = 0; begin < rows.size(); begin += kRowsAtOnce) {
    file.append_rows(name, rows.read(begin, std::min(rows.size(), begin + kRowsAtOnce)).to(DType::kF32));
  }
}

/// Damage in rows must be met before they are used: a metric that has begun cannot do without them.
void read_all(const FeatureRows& rows) {
  for (int64_t begin = 0; begin < rows.size(); begin += kRowsAtOnce) {
    rows.read(begin, std::min(rows.size(), begin + kRowsAtOnce));
  }
}

Collected read_collected(const std::shared_ptr<const Hdf5File>& file) {
  Collected result;
  result.count = file->read_attr_int("/", "count");
  result.content_hash = file->read_attr_string("/", "content_hash");
  result.labels = file->read("labels", DType::kI64).to_vector<int64_t>();
  if (file->has("class_names")) { result.class_names = file->read_strings("class_names"); }
  result.statistics.features = read_gaussian(*file, "features_statistics", result.count);
  if (file->has("spatial_statistics")) {
    result.statistics.spatial = read_gaussian(*file, "spatial_statistics", result.count);
  }
  if (file->has("features")) { result.features = std::make_shared<StoredRows>(file, "features"); }
  if (file->has("logits")) { result.logits = std::make_shared<StoredRows>(file, "logits"); }
  return result;
}

}  // namespace

std::string ReferenceCache::default_folder() {
  const std::string own = environment_variable("TERRACE_CACHE");
  return own.empty() ? user_cache_folder() : own;
}

std::string ReferenceCache::path(const std::string& content_hash, const std::string& identity) const {
  const std::string key = content_hash + "\n" + identity;
  return folder_ + "/reference-" + sha256_hex(key.data(), key.size()).substr(0, 32) + ".h5";
}

std::optional<Collected> ReferenceCache::find(const std::string& content_hash, const std::string& identity,
                                              KeepRows features) const {
  if (!keeps()) { return std::nullopt; }
  const std::string file = path(content_hash, identity);
  if (!std::filesystem::exists(file)) { return std::nullopt; }
  try {
    const auto kept = std::make_shared<const Hdf5File>(Hdf5File::open(file));
    if (kept->read_attr_int("/", "version") != kVersion || kept->read_attr_string("/", "identity") != identity ||
        kept->read_attr_string("/", "content_hash") != content_hash) {
      return std::nullopt;
    }
    Collected found = read_collected(kept);
    if (features == KeepRows::kYes && found.features == nullptr) { return std::nullopt; }
    if (features == KeepRows::kYes) { read_all(*found.features); }
    if (found.logits != nullptr) { read_all(*found.logits); }
    return found;
  } catch (const IoError& error) {
    note(cat(error.what(), "; what this cached file keeps is computed again"));
    return std::nullopt;
  }
}

void ReferenceCache::make_folder() const {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) { throw IoError(cat("cannot write ", folder_, ": ", error.message())); }
}

/// Logs of sets that were changed since, or are no longer asked for, would stay for ever; one in use is locked.
void ReferenceCache::remove_old() const {
  constexpr std::chrono::hours kOld(30 * 24);
  remove_leftovers_in(folder_);
  std::error_code ignored, failed;
  for (std::filesystem::directory_iterator at(folder_, failed), end; !failed && at != end; at.increment(failed)) {
    const auto& entry = *at;
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("reference-") || !name.ends_with(".h5.part")) { continue; }
    if (std::filesystem::file_time_type::clock::now() - entry.last_write_time(ignored) < kOld) { continue; }
    const Descriptor file(::open(entry.path().c_str(), O_RDWR | O_CLOEXEC));
    if (file.valid() && lock_file(file.number()) == FileLocking::kTaken) { ::unlink(entry.path().c_str()); }
  }
}

std::unique_ptr<ActivationLog> ReferenceCache::log(const std::string& content_hash, const std::string& identity) const {
  make_folder();
  remove_old();
  return ActivationLog::open(path(content_hash, identity) + ".part", content_hash + "\n" + identity);
}

void ReferenceCache::store(const Collected& collected, const std::string& identity) const {
  if (!keeps()) { return; }
  make_folder();
  Hdf5File file = Hdf5File::create(path(collected.content_hash, identity));
  file.write_attr_int("/", "version", kVersion);
  file.write_attr_int("/", "count", collected.count);
  file.write_attr_string("/", "identity", identity);
  file.write_attr_string("/", "content_hash", collected.content_hash);
  file.write("labels", Tensor::from(collected.labels, {static_cast<int64_t>(collected.labels.size())}));
  if (!collected.class_names.empty()) { file.write_strings("class_names", collected.class_names); }
  write_gaussian(file, "features_statistics", collected.statistics.features);
  if (collected.statistics.spatial) { write_gaussian(file, "spatial_statistics", *collected.statistics.spatial); }
  if (collected.features) { write_rows(file, "features", *collected.features); }
  if (collected.logits) { write_rows(file, "logits", *collected.logits); }
  file.commit();
}

namespace {

Collected collect_with_log(const ImageSource& source, const FeatureNetwork& network, const CollectOptions& options,
                           const ReferenceCache& cache, const ContentHash& hash) {
  const auto log = hash.bad.empty() ? cache.log(hash.text, network.identity) : nullptr;
  if (log == nullptr) { return collect(source, network, options); }
  Collected made = collect(source, network, options, hash.text, *log);
  log->remove();
  return made;
}

}  // namespace

Collected collect_cached(const ImageSource& source, const FeatureNetwork& network, const CollectOptions& options,
                         const ReferenceCache& cache) {
  if (!cache.keeps()) {
    return collect(source, network, options);  // which finds the hash on its way
  }
  const ContentHash hash = content_hash_of(source, options.bad_files, options.hashing);
  std::optional<Collected> found = cache.find(hash.text, network.identity, options.features);
  if (found) {
    found->bad = hash.bad;
    // The key is of the pixels alone: the set that was kept may tell other classes, or none.
    found->labels = hash.labels;
    found->class_names = source.class_names();
    return std::move(*found);
  }
  Collected made = collect_with_log(source, network, options, cache, hash);
  cache.store(made, network.identity);
  return made;
}

Collected collect_resumable(const ImageSource& source, const FeatureNetwork& network, const CollectOptions& options,
                            const ReferenceCache& cache) {
  if (!cache.keeps()) { return collect(source, network, options); }
  return collect_with_log(source, network, options, cache, content_hash_of(source, options.bad_files, options.hashing));
}

}  // namespace terrace
