// CIFAR-100 (A. Krizhevsky, 2009) in its published binary layout: records of 3074 bytes, coarse label, fine label, then
// the red, green and blue planes of a 32x32 picture, row by row.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/datasets/image_dataset.h"

namespace terrace {

inline constexpr int64_t kCifarRecord = 3074;
inline constexpr int64_t kCifarTrainCount = 50000, kCifarTestCount = 10000;

enum class CifarCount : uint8_t { kPublished, kAny };  // whether files with other numbers of pictures are refused

struct Cifar100Files {
  std::string train, test;  // contents of train.bin and test.bin
  std::vector<std::string> class_names;
};

/// The 100 fine names in the order of their labels.
const std::vector<std::string>& cifar100_class_names();

/// From a folder with train.bin and test.bin (or with cifar-100-binary/ in it), or from the .tar.gz (or .tar). Names
/// come from fine_label_names.txt where it is there. Throws IoError: what is missing, of the wrong size, or a label out
/// of range and where.
Cifar100Files read_cifar100(const std::string& path, CifarCount count = CifarCount::kPublished);

/// Pictures [begin, end) of a file's content as u8 (n, 32, 32, 3), and their fine labels.
void decode_cifar100(const std::string& content, int64_t begin, int64_t end, Tensor& images, Tensor& labels);

/// Writes both splits as a dataset. `progress` hears the pictures done and may throw to stop.
void convert_cifar100(const std::string& from, const std::string& to, CifarCount count, Compression compression,
                      const std::function<void(int64_t done, int64_t total)>& progress);

}  // namespace terrace
