#include "var/tokenizer/token_cache.h"

#include <algorithm>
#include <filesystem>

#include "data/datasets/subset.h"
#include "data/hdf5/file.h"
#include "data/hdf5/kind.h"
#include "data/images/pixels.h"
#include "var/content_hash.h"

namespace terrace {

TokenSet encode_dataset(const Vqvae& vqvae, const ImageDataset& dataset, int64_t limit, int64_t batch,
                        const EncodeProgress& progress) {
  const int64_t size = vqvae.config().image_size();
  if (dataset.height() != size || dataset.width() != size) {
    throw ConfigError(cat(dataset.path(), ": images of ", dataset.height(), "x", dataset.width(),
                          "; the tokenizer is for ", size, "x", size));
  }
  const std::vector<int64_t> rows = part_of(dataset.size(), limit);
  const auto N = static_cast<int64_t>(rows.size());
  TokenSet tokens;
  tokens.indices = Tensor::empty({N, vqvae.pyramid().length()}, DType::kI64);
  tokens.labels = Tensor::empty({N}, DType::kI64);
  const int64_t* label = dataset.labels().data<int64_t>();
  std::transform(rows.begin(), rows.end(), tokens.labels.data<int64_t>(), [&](int64_t row) { return label[row]; });
  tokens.class_names = dataset.class_names();
  tokens.patch_nums = vqvae.config().patch_nums;
  tokens.vocab_size = vqvae.config().vocab_size;
  tokens.dataset_hash = dataset.content_hash();
  tokens.tokenizer_hash = content_hash(vqvae);
  if (progress) { progress(0, N); }
  for (int64_t begin = 0; begin < N; begin += batch) {
    const int64_t end = std::min(begin + batch, N);
    const Tensor images = images_to_float(dataset.images({rows.begin() + begin, rows.begin() + end}));
    tokens.indices.slice(0, begin, end).copy_(vqvae.images_to_indices(images));
    if (progress) { progress(end, N); }
  }
  return tokens;
}

void write_tokens(const std::string& path, const TokenSet& tokens) {
  Hdf5File file = Hdf5File::create(path);
  write_kind(file, "tokens");
  Hdf5WriteOptions rows;
  rows.chunk_rows = 64;
  rows.compression = Compression::kGzip;
  file.write("indices", tokens.indices.to(DType::kI32), rows);
  file.write("labels", tokens.labels);
  file.write("patch_nums", Tensor::from(tokens.patch_nums, {static_cast<int64_t>(tokens.patch_nums.size())}));
  file.write_strings("class_names", tokens.class_names);
  file.write_attr_int("/", "vocab_size", tokens.vocab_size);
  file.write_attr_string("/", "dataset_hash", tokens.dataset_hash);
  file.write_attr_string("/", "tokenizer_hash", tokens.tokenizer_hash);
  file.commit();
}

TokenSet read_tokens(const std::string& path) {
  const Hdf5File file = Hdf5File::open(path);
  check_kind(file, "tokens");
  TokenSet tokens;
  tokens.indices = file.read("indices").to(DType::kI64);
  tokens.labels = file.read("labels", DType::kI64);
  tokens.patch_nums = file.read("patch_nums", DType::kI64).to_vector<int64_t>();
  tokens.class_names = file.read_strings("class_names");
  tokens.vocab_size = file.read_attr_int("/", "vocab_size");
  tokens.dataset_hash = file.read_attr_string("/", "dataset_hash");
  tokens.tokenizer_hash = file.read_attr_string("/", "tokenizer_hash");
  int64_t L = 0;
  try {
    L = Pyramid(tokens.patch_nums).length();
  } catch (const ConfigError& error) { throw IoError(cat(path, ": ", error.what())); }
  if (tokens.indices.ndim() != 2 || tokens.indices.dim(1) != L || tokens.labels.shape() != Shape{tokens.size()}) {
    throw IoError(cat(path, ": indices ", tokens.indices.shape(), " and labels ", tokens.labels.shape(),
                      " do not fit each other or patch_nums, which give L = ", L));
  }
  for (const int64_t index : tokens.indices.to_vector<int64_t>()) {
    if (index < 0 || index >= tokens.vocab_size) {
      throw IoError(cat(path, ": index ", index, " is outside the codebook of ", tokens.vocab_size));
    }
  }
  for (const int64_t label : tokens.labels.to_vector<int64_t>()) {
    if (label < 0 || label >= tokens.num_classes()) {
      throw IoError(cat(path, ": label ", label, "; there are ", tokens.num_classes(), " classes"));
    }
  }
  return tokens;
}

TokenSet cached_tokens(const std::string& path, const Vqvae& vqvae, const ImageDataset& dataset, int64_t limit,
                       const EncodeProgress& progress) {
  const int64_t N = limit > 0 ? std::min(limit, dataset.size()) : dataset.size();
  if (std::filesystem::exists(path)) {
    TokenSet tokens = read_tokens(path);
    if (tokens.size() == N && tokens.dataset_hash == dataset.content_hash() &&
        tokens.tokenizer_hash == content_hash(vqvae)) {
      return tokens;
    }
  }
  TokenSet tokens = encode_dataset(vqvae, dataset, limit, 64, progress);
  write_tokens(path, tokens);
  return tokens;
}

}  // namespace terrace
