// The activations of the first images of a set, in a file: an interrupted pass over many images resumes after the last
// image that is stored.
//
//   if (const auto log = ActivationLog::open(path, key)) {
//     for (int64_t i = log->size(); i < images; i += n) log->append(network(batch(i, n)));
//     log->remove();
//   }
//
// The file: a header of 88 bytes (SHA-256 of the key in 64 hexadecimal digits; the numbers of features, spatial
// features and logits, i64), then one record of f32 for each image. It is flushed to the disk at every append, and a
// record that was cut short is written again.
#pragma once

#include <memory>
#include <string>

#include "metrics/activations.h"

namespace terrace {

class ActivationLog {
 public:
  /// Begins the file, or opens it where it is of the same `key`, which names all that the activations depend on; a file
  /// of another key is begun anew. Null where another process writes it. Throws IoError.
  static std::unique_ptr<ActivationLog> open(const std::string& path, const std::string& key);
  ~ActivationLog();
  ActivationLog(const ActivationLog&) = delete;
  ActivationLog& operator=(const ActivationLog&) = delete;

  int64_t size() const { return size_; }
  /// Those of images [begin, end). Throws IndexError, IoError.
  Activations read(int64_t begin, int64_t end) const;
  /// Appends the activations of the next images, f32; which of the three are defined is the same in every call. Throws
  /// IoError, ShapeError.
  void append(const Activations& activations);
  /// Deletes the file of a pass that is complete.
  void remove();

 private:
  ActivationLog(std::string path, const std::string& key, int descriptor);
  int64_t width() const { return widths_[0] + widths_[1] + widths_[2]; }
  int64_t place(int64_t row) const;  // in the file

  std::string path_, digest_;
  int descriptor_;
  int64_t widths_[3] = {0, 0, 0};  // features, spatial, logits; all 0 before the first append
  int64_t size_ = 0;
};

}  // namespace terrace
