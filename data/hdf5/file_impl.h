#pragma once

#include <memory>
#include <string>

#include "data/files/atomic_file.h"
#include "data/hdf5/direct.h"
#include "data/hdf5/file.h"
#include "data/hdf5/reader.h"

namespace terrace {

struct Hdf5File::Impl {
  std::string path;
  std::unique_ptr<PartialFile> partial;  // of a created file
  std::unique_ptr<hdf5::Reader> reader;
  hdf5::DirectReader* own = nullptr;  // the reader of a created file, until it is committed

  ~Impl();
};

}  // namespace terrace
