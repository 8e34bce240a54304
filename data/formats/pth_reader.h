// PyTorch's files of tensors (.pth, .pt), as torch.save writes them:
//
//   zip (since 1.6)   NAME/data.pkl: the pickled objects; NAME/data/KEY: the bytes of each storage; NAME/extra/KEY: a
//                     text beside them, where TorchScript's files have theirs: metadata, which torch.load does not read
//   legacy            five pickles (magic number, protocol, system, objects, keys of storages), then for each key the
//                     number of elements (i64) and the elements
//
// A tensor in a pickle is a view of a storage: several may share one, in any order of strides. What is not a tensor
// (numbers, texts, None) is the file's metadata, under its path: {"epoch": 1, "trainer": {"iter": 7}} gives "epoch" and
// "trainer/iter". Nothing in a file is executed (data/formats/pickle.h).
#pragma once

#include <memory>
#include <string>

#include "data/files/mapped_file.h"
#include "data/formats/tensor_reader.h"
#include "data/formats/zip_archive.h"

namespace terrace {

inline const std::string kPthExtra = "extra/";

bool is_pth_zip(const ZipReader& zip);
std::shared_ptr<const TensorReader> open_pth_zip(std::shared_ptr<const ZipReader> zip);
bool is_legacy_pth(const MappedFile& file);
std::shared_ptr<const TensorReader> open_legacy_pth(std::shared_ptr<const MappedFile> file);

}  // namespace terrace
