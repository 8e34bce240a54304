// The token cache: a dataset's images as (N, L) code indices, computed once by a tokenizer and kept in HDF5.
// The file names the images and the tokenizer it was made from by content hash, so that a stale cache is never used.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "var/vqvae.h"

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

/// Content hash of a module's parameters and their names, as 16 hexadecimal digits.
std::string content_hash(const Module& module);

/// Encodes the first `limit` images (0: all). `progress` gets images done.
TokenSet encode_dataset(Vqvae& vqvae, const ImageDataset& dataset, int64_t batch = 64, int64_t limit = 0,
                        const std::function<void(int64_t)>& progress = {});

void write_tokens(const std::filesystem::path& path, const TokenSet& tokens);
TokenSet read_tokens(const std::filesystem::path& path);  // throws IoError
/// Reads `path` where it belongs to this tokenizer and dataset, else encodes and writes it.
TokenSet cached_tokens(const std::filesystem::path& path, Vqvae& vqvae, const ImageDataset& dataset);

}  // namespace terrace
