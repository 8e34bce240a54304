// The activations of the first images of a set, in a file: an interrupted pass over many images resumes after the last
// image that is stored.
//
//   if (const auto log = ActivationLog::open(path, key)) {
//     for (int64_t i = log->size(); i < images; i += n) log->append(network(batch(i, n)));
//     log->remove();
//   }
//
// The file: a header of 96 bytes (SHA-256 of the key in 64 hexadecimal digits; the numbers of features, spatial
// features and logits, i64; the checksum of these 88 bytes, u64), then one record for each image (its activations, f32;
// the checksum of SHA-256, the image's place, i64, and them, u64; data/files/checksum.h). It is flushed to the disk at
// every append. The first record that was cut short or is damaged ends what counts; the rest is computed again.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/files/descriptor.h"
#include "metrics/activations.h"

namespace terrace {

class ActivationLog {
 public:
  /// Begins the file, or opens it where it is of the same `key`, which names all that the activations depend on; a file
  /// of another key is begun anew, and so, with a note, is one whose header is damaged. What counts is read once, to
  /// compare checksums; damage gives a note. Null where another process writes it, or no lock can be had. Throws
  /// IoError.
  static std::unique_ptr<ActivationLog> open(const std::string& path, const std::string& key);

  int64_t size() const { return size_; }
  /// Those of images [begin, end). Throws IndexError, IoError.
  Activations read(int64_t begin, int64_t end) const;
  /// Appends the activations of the next images, f32; which of the three are defined is the same in every call. Throws
  /// IoError, ShapeError.
  void append(const Activations& activations);
  /// Deletes the file of a pass that is complete.
  void remove();

 private:
  ActivationLog(std::string path, const std::string& key, Descriptor file);
  int64_t width() const { return widths_[0] + widths_[1] + widths_[2]; }
  bool read_header(int64_t file_size);
  int64_t record_bytes() const;
  int64_t place(int64_t row) const;  // in the file
  uint64_t checksum_of(const std::byte* record, int64_t row) const;
  std::vector<std::byte> read_records(int64_t begin, int64_t end) const;
  int64_t matching(const std::vector<std::byte>& records, int64_t first) const;

  std::string path_, digest_;
  Descriptor file_;                // holds the lock
  int64_t widths_[3] = {0, 0, 0};  // features, spatial, logits; all 0 before the first append
  int64_t size_ = 0;
};

}  // namespace terrace
