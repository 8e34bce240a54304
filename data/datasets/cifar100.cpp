#include "data/datasets/cifar100.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <sstream>

#include "data/files/archive_reason.h"
#include "data/files/atomic_file.h"
#include "tensor/base/error.h"
#include "tensor/device/interruption.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSide = 32, kArea = kSide * kSide, kClasses = 100;
constexpr const char* kTrainName = "train.bin";
constexpr const char* kTestName = "test.bin";
constexpr const char* kNamesName = "fine_label_names.txt";

struct ArchiveCloser {
  void operator()(archive* a) const { archive_read_free(a); }
};

std::string read_entry(archive* a, int64_t size, const std::string& path) {
  constexpr int64_t kMaxBytes = int64_t{1} << 30;
  if (size < 0 || size > kMaxBytes) { throw IoError(cat("cannot read ", path, ": an entry claims ", size, " bytes")); }
  std::string content(static_cast<size_t>(size), '\0');
  size_t done = 0;
  while (done < content.size()) {
    interruption_point();
    const la_ssize_t count = archive_read_data(a, content.data() + done, content.size() - done);
    if (count < 0) { throw IoError(cat("cannot read ", path, ": ", archive_reason(a))); }
    if (count == 0) { throw IoError(cat("cannot read ", path, ": the archive is truncated")); }
    done += static_cast<size_t>(count);
  }
  return content;
}

/// The three files out of an archive; those that are not there stay empty.
void read_archive(const std::string& path, std::string& train, std::string& test, std::string& names) {
  const std::unique_ptr<archive, ArchiveCloser> a(archive_read_new());
  archive_read_support_filter_all(a.get());
  archive_read_support_format_tar(a.get());
  constexpr size_t kBlock = 1 << 16;
  if (archive_read_open_filename(a.get(), path.c_str(), kBlock) != ARCHIVE_OK) {
    throw IoError(cat("cannot read ", path, " as an archive: ", archive_reason(a.get()),
                      "; give the folder with train.bin and test.bin, or the .tar.gz"));
  }
  for (;;) {
    interruption_point();
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(a.get(), &entry);
    if (status == ARCHIVE_EOF) { return; }
    if (status < ARCHIVE_WARN) { throw IoError(cat("cannot read ", path, ": ", archive_reason(a.get()))); }
    const char* stored = archive_entry_pathname(entry);
    const std::string name = fs::path(stored != nullptr ? stored : "").filename().string();
    std::string* to = name == kTrainName ? &train : name == kTestName ? &test : name == kNamesName ? &names : nullptr;
    if (to != nullptr) { *to = read_entry(a.get(), archive_entry_size(entry), path); }
  }
}

void read_folder(const fs::path& folder, std::string& train, std::string& test, std::string& names) {
  const fs::path inner = fs::exists(folder / kTrainName) ? folder : folder / "cifar-100-binary";
  for (const auto& [name, to] : {std::pair{kTrainName, &train}, {kTestName, &test}}) {
    if (!fs::exists(inner / name)) {
      throw IoError(cat("cannot read ", folder.string(), ": there is no ", name, " in it"));
    }
    *to = read_file((inner / name).string());
  }
  if (fs::exists(inner / kNamesName)) { names = read_file((inner / kNamesName).string()); }
}

void check_records(const std::string& content, const std::string& what, int64_t published, CifarCount count) {
  const int64_t bytes = static_cast<int64_t>(content.size());
  if (bytes == 0) { throw IoError(cat(what, ": missing or empty")); }
  if (bytes % kCifarRecord != 0) {
    throw IoError(cat(what, ": ", bytes, " bytes are not a whole number of records of ", kCifarRecord,
                      " bytes; the file is truncated or of another kind"));
  }
  if (count == CifarCount::kPublished && bytes != published * kCifarRecord) {
    throw IoError(cat(what, ": ", bytes / kCifarRecord, " images; the published file has ", published));
  }
  constexpr int kCoarseClasses = 20;
  for (int64_t i = 0; i < bytes / kCifarRecord; ++i) {
    const auto coarse = static_cast<uint8_t>(content[static_cast<size_t>(i * kCifarRecord)]);
    const auto fine = static_cast<uint8_t>(content[static_cast<size_t>(i * kCifarRecord + 1)]);
    if (coarse >= kCoarseClasses || fine >= kClasses) {
      throw IoError(cat(what, ": picture ", i, " has the labels ", int{coarse}, " (coarse, below ", kCoarseClasses,
                        ") and ", int{fine}, " (fine, below ", kClasses, "); this is not CIFAR-100's binary layout"));
    }
  }
}

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line.back() == '\r') { line.pop_back(); }
    if (!line.empty()) { lines.push_back(line); }
  }
  return lines;
}

}  // namespace

const std::vector<std::string>& cifar100_class_names() {
  static const std::vector<std::string> names = {
      "apple",      "aquarium_fish", "baby",         "bear",       "beaver",      "bed",         "bee",
      "beetle",     "bicycle",       "bottle",       "bowl",       "boy",         "bridge",      "bus",
      "butterfly",  "camel",         "can",          "castle",     "caterpillar", "cattle",      "chair",
      "chimpanzee", "clock",         "cloud",        "cockroach",  "couch",       "crab",        "crocodile",
      "cup",        "dinosaur",      "dolphin",      "elephant",   "flatfish",    "forest",      "fox",
      "girl",       "hamster",       "house",        "kangaroo",   "keyboard",    "lamp",        "lawn_mower",
      "leopard",    "lion",          "lizard",       "lobster",    "man",         "maple_tree",  "motorcycle",
      "mountain",   "mouse",         "mushroom",     "oak_tree",   "orange",      "orchid",      "otter",
      "palm_tree",  "pear",          "pickup_truck", "pine_tree",  "plain",       "plate",       "poppy",
      "porcupine",  "possum",        "rabbit",       "raccoon",    "ray",         "road",        "rocket",
      "rose",       "sea",           "seal",         "shark",      "shrew",       "skunk",       "skyscraper",
      "snail",      "snake",         "spider",       "squirrel",   "streetcar",   "sunflower",   "sweet_pepper",
      "table",      "tank",          "telephone",    "television", "tiger",       "tractor",     "train",
      "trout",      "tulip",         "turtle",       "wardrobe",   "whale",       "willow_tree", "wolf",
      "woman",      "worm"};
  return names;
}

Cifar100Files read_cifar100(const std::string& path, CifarCount count) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) { throw IoError(cat("cannot read ", path, ": ", std::strerror(errno))); }
  Cifar100Files files;
  std::string names;
  if (S_ISDIR(status.st_mode)) {
    read_folder(path, files.train, files.test, names);
  } else {
    read_archive(path, files.train, files.test, names);
  }
  check_records(files.train, cat(path, ": ", kTrainName), kCifarTrainCount, count);
  check_records(files.test, cat(path, ": ", kTestName), kCifarTestCount, count);
  files.class_names = names.empty() ? cifar100_class_names() : split_lines(names);
  if (files.class_names.size() != static_cast<size_t>(kClasses)) {
    throw IoError(cat(path, ": ", kNamesName, " has ", files.class_names.size(), " names, not ", kClasses));
  }
  return files;
}

void decode_cifar100(const std::string& content, int64_t begin, int64_t end, Tensor& images, Tensor& labels) {
  const int64_t count = static_cast<int64_t>(content.size()) / kCifarRecord;
  if (begin < 0 || begin > end || end > count) {
    throw IndexError(cat("decode_cifar100: images [", begin, ", ", end, ") of ", count));
  }
  images = Tensor::empty({end - begin, kSide, kSide, 3}, DType::kU8);
  labels = Tensor::empty({end - begin}, DType::kI64);
  uint8_t* to = images.data<uint8_t>();
  for (int64_t i = begin; i < end; ++i) {
    const auto* record = reinterpret_cast<const uint8_t*>(content.data()) + i * kCifarRecord;
    labels.data<int64_t>()[i - begin] = record[1];
    const uint8_t* planes = record + 2;
    for (int64_t pixel = 0; pixel < kArea; ++pixel) {
      for (int64_t c = 0; c < 3; ++c) { *to++ = planes[c * kArea + pixel]; }
    }
  }
}

void convert_cifar100(const std::string& from, const std::string& to, CifarCount count, Compression compression,
                      const std::function<void(int64_t done, int64_t total)>& progress) {
  const Cifar100Files files = read_cifar100(from, count);
  ImageDatasetWriter writer(to, kSide, kSide, files.class_names, "CIFAR-100 (A. Krizhevsky, 2009)", compression);
  const int64_t total = static_cast<int64_t>(files.train.size() + files.test.size()) / kCifarRecord;
  int64_t done = 0;
  for (const auto& [split, content] : {std::pair{"train", &files.train}, {"test", &files.test}}) {
    writer.begin_split(split);
    constexpr int64_t kBlock = 1000;
    const int64_t pictures = static_cast<int64_t>(content->size()) / kCifarRecord;
    for (int64_t begin = 0; begin < pictures; begin += kBlock) {
      Tensor images, labels;
      const int64_t end = std::min(begin + kBlock, pictures);
      decode_cifar100(*content, begin, end, images, labels);
      writer.append(images, labels);
      done += end - begin;
      progress(done, total);
    }
  }
  writer.commit();
}

}  // namespace terrace
