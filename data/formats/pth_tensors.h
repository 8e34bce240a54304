// From the pickled objects of a PyTorch file to its tensors.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "data/formats/pickle.h"
#include "data/formats/stored_tensor.h"

namespace terrace {

/// A storage as a pickle refers to it: ('storage', torch.FloatStorage, key, device, elements[, view]).
struct PthStorage {
  std::string key;
  ElementType type = ElementType::kF32;
  int64_t elements = 0;
  // Legacy files: a storage that is a part of another one.
  bool is_view = false;
  int64_t view_offset = 0, view_elements = 0;
};

/// Throws IoError, opening with `where`, where the value is none or its type is not supported.
PthStorage parse_storage(const PickleValue& value, const std::string& where);

/// All tensors that can be reached from the root, under their paths, and the other values as metadata, with
/// `texts_beside`, which go before them. `bytes_of` gives the bytes of a storage (of what it is a view of). Throws
/// IoError.
std::shared_ptr<const TensorReader> collect_tensors(const Pickle& pickle, const std::string& path,
                                                    const std::function<ByteRange(const PthStorage&)>& bytes_of,
                                                    std::map<std::string, std::string> texts_beside = {});

}  // namespace terrace
