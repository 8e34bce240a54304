// The images of a long run on disk, appended as they are drawn, so that a run that was stopped goes on where it was.
//
//   ImageStore store(out, key, side, ImageStore::Start::kResume);
//   for (int64_t i = store.size(); i < total; i += batch) store.append(draw(i, i + batch));
//   ...                                     // stream them into their final files
//   store.remove();
//
// OUT/images.partial holds one image after another, each with a checksum of its place and its pixels (u64,
// data/files/checksum.h); OUT/images.partial.json what they depend on. A tail that was being written when the run ended
// does not count, nor do a damaged image and those after it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/files/descriptor.h"
#include "data/files/json.h"
#include "experiments/cli/run_record.h"
#include "tensor/tensor.h"

namespace terrace {

class ImageStore {
 public:
  enum class Start : uint8_t { kNew, kResume };

  /// Images are u8 (side, side, 3). kNew drops what an earlier run left; kResume goes on with it, or begins where there
  /// is none, and throws ConfigError where its key is another or damaged. It reads the images once, to compare their
  /// checksums; damaged ones, and those of earlier versions, which had no checksums, give a note. Throws IoError.
  ImageStore(const std::string& folder, const Json& key, int64_t side, Start start);
  /// Whether a run into the folder was begun and has not come to its end.
  static bool holds_run(const std::string& folder);
  /// Throws what the constructor would throw for kResume.
  static void check_resumable(const std::string& folder, const Json& key);
  /// Its files, relative to the folder.
  static std::vector<std::string> file_names();

  int64_t size() const { return size_; }          // whole images
  void truncate(int64_t count);                   // drops those from `count` on
  void append(const Tensor& images);              // u8 (n, side, side, 3)
  Tensor read(int64_t begin, int64_t end) const;  // throws IndexError, IoError
  void remove();                                  // the files; nothing can be read afterwards

 private:
  static CheckedJson stored_key(const std::string& folder);
  int64_t image_bytes() const;
  int64_t record_bytes() const;
  uint64_t checksum_of(const uint8_t* pixels, int64_t place) const;
  bool read_image(int64_t place, std::vector<uint8_t>& record) const;
  int64_t whole_images(int64_t count) const;

  std::string path_, key_path_;
  int64_t side_, size_ = 0;
  Descriptor file_;
};

/// Throws ConfigError, for --resume, where what images depend on is not what those in the folder did.
void require_same_images(const Json& key, const Json& there, const std::string& folder);

}  // namespace terrace
