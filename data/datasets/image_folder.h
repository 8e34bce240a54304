// Datasets from folders of JPEG and PNG files, one folder a class (ImageNet's layout).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/datasets/image_dataset.h"
#include "data/images/resize.h"

namespace terrace {

enum class BadFiles : uint8_t { kStop, kSkip };

struct ImageFolderOptions {
  int64_t size = 256;  // short side resized to it, then the square in the middle
  ResizeFilter filter = ResizeFilter::kLanczos;
  BadFiles bad_files = BadFiles::kStop;
  std::string split = "train";  // of a folder without train/ and others in it
  int64_t test_every = 0;       // every n-th file goes to split "test" in place of the above; 0: none
  int workers = 2;
  Compression compression = Compression::kNone;
};

struct ImageFolderFile {
  std::string path;
  int64_t label = 0;
};

struct ImageFolderSplit {
  std::string name;
  std::vector<ImageFolderFile> files;  // by class, then by name
};

struct ImageFolder {
  std::vector<std::string> class_names;  // the folders' names, sorted
  std::vector<ImageFolderSplit> splits;
};

/// Lists FOLDER/CLASS/*.{jpg,jpeg,png} (any case), or FOLDER/{train,val,test}/CLASS/* where these are there. Throws
/// IoError where there are no class folders or no pictures, or a split has a class that "train" has not.
ImageFolder scan_image_folder(const std::string& folder, const ImageFolderOptions& options);

struct BadFile {
  std::string path, reason;
};

struct ImageFolderResult {
  int64_t written = 0;
  std::vector<BadFile> bad;  // skipped
};

/// Reads, resizes and writes all pictures, several at once. Within a split they are in an order shuffled by a fixed
/// seed: the same files give the same dataset, and any range of it holds all classes. The first file of that order
/// that cannot be read is an IoError that names it, unless bad files are skipped. `progress` hears of every file done
/// and may throw to stop.
ImageFolderResult convert_image_folder(const std::string& folder, const std::string& to,
                                       const ImageFolderOptions& options,
                                       const std::function<void(int64_t done, int64_t total, int64_t bad)>& progress);

}  // namespace terrace
