// The token cache: a dataset's images as (N, L) code indices, computed once by a tokenizer and kept in HDF5.
// The file names the images and the tokenizer it was made from by their hashes, so that a stale cache is never used.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "data/datasets/image_dataset.h"
#include "var/tokenizer/vqvae.h"

namespace terrace {

struct TokenSet {
  Tensor indices;  // (N, L) i64
  Tensor labels;   // (N) i64
  std::vector<std::string> class_names;
  std::vector<int64_t> patch_nums;
  int64_t vocab_size = 0;
  std::string dataset_hash, tokenizer_hash;

  int64_t size() const { return indices.dim(0); }
  int64_t num_classes() const { return static_cast<int64_t>(class_names.size()); }
};

/// Called with (images done, images in all), before the first with none done; may throw.
using EncodeProgress = std::function<void(int64_t done, int64_t total)>;

/// Encodes `limit` images (0: all; else those of part_of), `batch` at a time.
TokenSet encode_dataset(const Vqvae& vqvae, const ImageDataset& dataset, int64_t limit = 0, int64_t batch = 64,
                        const EncodeProgress& progress = {});

void write_tokens(const std::string& path, const TokenSet& tokens);
/// Throws IoError where the file is not a token cache or is damaged.
TokenSet read_tokens(const std::string& path);
/// Reads `path` where it exists and belongs to this tokenizer and these images, else encodes and writes it.
TokenSet cached_tokens(const std::string& path, const Vqvae& vqvae, const ImageDataset& dataset, int64_t limit = 0,
                       const EncodeProgress& progress = {});

}  // namespace terrace
