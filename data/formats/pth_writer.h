// PyTorch's zip form (data/formats/pth_reader.h), written.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/formats/tensor_writer.h"

namespace terrace {

/// One OrderedDict of tensors, which torch.load(..., weights_only=True) reads, and beside it a record extra/NAME for
/// each text of the metadata, which it leaves alone.
std::unique_ptr<TensorWriter> create_pth(const std::string& path, std::vector<TensorEntry> entries,
                                         const std::map<std::string, std::string>& metadata = {});

}  // namespace terrace
