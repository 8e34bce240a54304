#include "data/datasets/image_folder.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "data/datasets/prefetcher.h"
#include "data/images/image_file.h"
#include "tensor/base/error.h"
#include "tensor/random.h"
#include "tensor/random_streams.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> sorted_entries(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    entries.push_back(entry->path());
  }
  if (error) { throw IoError(cat("cannot read ", folder.string(), ": ", error.message())); }
  std::sort(entries.begin(), entries.end());
  return entries;
}

bool hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

std::vector<fs::path> subfolders(const fs::path& folder) {
  std::vector<fs::path> found = sorted_entries(folder);
  std::erase_if(found, [](const fs::path& path) { return hidden(path) || !fs::is_directory(path); });
  return found;
}

std::vector<std::string> names_of(const std::vector<fs::path>& paths) {
  std::vector<std::string> names;
  for (const fs::path& path : paths) { names.push_back(path.filename().string()); }
  return names;
}

ImageFolderSplit scan_split(const fs::path& folder, const std::string& name, const std::vector<std::string>& classes) {
  ImageFolderSplit split{.name = name, .files = {}};
  for (const fs::path& of_class : subfolders(folder)) {
    const std::string class_name = of_class.filename().string();
    const auto found = std::find(classes.begin(), classes.end(), class_name);
    if (found == classes.end()) {
      throw IoError(cat("cannot read ", folder.string(), ": its class \"", class_name, "\" is not one of the others'"));
    }
    for (const fs::path& file : sorted_entries(of_class)) {
      if (!hidden(file) && is_picture_name(file)) { split.files.push_back({file.string(), found - classes.begin()}); }
    }
  }
  if (split.files.empty()) {
    throw IoError(cat("cannot read ", folder.string(), ": no JPEG or PNG file in its class folders"));
  }
  return split;
}

/// The files, which come sorted by class, in a random order, so that the first N pictures of a dataset are of all
/// classes.
std::vector<ImageFolderFile> shuffled(const std::vector<ImageFolderFile>& files) {
  std::vector<ImageFolderFile> mixed;
  for (const int64_t i : random_permutation(static_cast<int64_t>(files.size()), Generator(0, streams::kFolderOrder))) {
    mixed.push_back(files[static_cast<size_t>(i)]);
  }
  return mixed;
}

/// What became of one file: a picture, or the reason why there is none.
struct Converted {
  Tensor image;
  std::string reason;
};

Converted convert(const ImageFolderFile& file, const ImageFolderOptions& options) {
  Converted result;
  try {
    result.image = resize_and_crop(read_image(file.path), options.size, options.filter);
  } catch (const IoError& error) { result.reason = error.what(); }
  return result;
}

}  // namespace

ImageFolder scan_image_folder(const std::string& folder, const ImageFolderOptions& options) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) { throw IoError(cat("cannot read ", folder, ": it is not a folder")); }
  ImageFolder found;
  const fs::path root(folder);
  const bool has_splits = fs::is_directory(root / "train") && !subfolders(root / "train").empty();
  const fs::path first = has_splits ? root / "train" : root;
  found.class_names = names_of(subfolders(first));
  if (found.class_names.empty()) {
    throw IoError(cat("cannot read ", first.string(), ": it holds no folders; expected one folder of images a class"));
  }
  found.splits.push_back(scan_split(first, has_splits ? "train" : options.split, found.class_names));
  if (has_splits) {
    for (const char* name : {"val", "test"}) {
      if (fs::is_directory(root / name) && !subfolders(root / name).empty()) {
        found.splits.push_back(scan_split(root / name, name, found.class_names));
      }
    }
  }

  if (options.test_every > 0) {
    const auto taken = [](const ImageFolderSplit& split) { return split.name == "test"; };
    if (std::any_of(found.splits.begin(), found.splits.end(), taken)) {
      throw ConfigError(cat("test_every: ", folder, " has a split \"test\" of its own"));
    }
    ImageFolderSplit rest{.name = found.splits[0].name, .files = {}}, test{.name = "test", .files = {}};
    const std::vector<ImageFolderFile>& files = found.splits[0].files;
    for (size_t i = 0; i < files.size(); ++i) {
      const bool held_out = (static_cast<int64_t>(i) + 1) % options.test_every == 0;
      (held_out ? test : rest).files.push_back(files[i]);
    }
    found.splits[0] = std::move(rest);
    if (!test.files.empty()) { found.splits.push_back(std::move(test)); }
  }
  return found;
}

ImageFolderResult convert_image_folder(const std::string& folder, const std::string& to,
                                       const ImageFolderOptions& options,
                                       const std::function<void(int64_t done, int64_t total, int64_t bad)>& progress) {
  const ImageFolder found = scan_image_folder(folder, options);
  int64_t total = 0, done = 0;
  for (const ImageFolderSplit& split : found.splits) { total += static_cast<int64_t>(split.files.size()); }

  ImageDatasetWriter writer(to, options.size, options.size, found.class_names,
                            "folder " + fs::weakly_canonical(folder).filename().string(), options.compression);
  writer.annotate("resize", cat("short side to ", options.size, " (", name_of(options.filter), "), centre crop"));
  ImageFolderResult result;
  for (const ImageFolderSplit& split : found.splits) {
    writer.begin_split(split.name);
    const std::vector<ImageFolderFile> files = shuffled(split.files);
    const auto make = [&](int64_t i) { return convert(files[static_cast<size_t>(i)], options); };
    const int64_t count = static_cast<int64_t>(files.size());
    Prefetcher<Converted> pictures(make, 0, options.workers, 4 * std::max(options.workers, 1), count);
    for (int64_t i = 0; i < count; ++i) {
      const Converted picture = pictures.next();
      const ImageFolderFile& file = files[static_cast<size_t>(i)];
      if (picture.image.defined()) {
        writer.append(picture.image, file.label);
        ++result.written;
      } else if (options.bad_files == BadFiles::kStop) {
        throw IoError(picture.reason);
      } else {
        result.bad.push_back({file.path, picture.reason});
      }
      progress(++done, total, static_cast<int64_t>(result.bad.size()));
    }
  }
  if (result.written == 0) { throw IoError(cat("cannot read ", folder, ": none of its images can be read")); }
  writer.commit();
  return result;
}

}  // namespace terrace
