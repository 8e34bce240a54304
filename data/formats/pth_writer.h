// PyTorch's zip form (data/formats/pth_reader.h), written.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/formats/tensor_writer.h"

namespace terrace {

/// One OrderedDict of tensors, which torch.load(..., weights_only=True) reads.
std::unique_ptr<TensorWriter> create_pth(const std::string& path, std::vector<TensorEntry> entries);

}  // namespace terrace
