#include "var/content_hash.h"

#include "data/files/sha256.h"

namespace terrace {

std::string content_hash(const Module& module) {
  Sha256 hash;
  for (const auto& [name, parameter] : module.named_parameters()) {
    const std::string head = cat(name, " ", parameter.shape(), " ", parameter.dtype(), "\n");
    hash.update(head.data(), head.size());
    const Tensor value = parameter.value().to(kCpu).contiguous();
    hash.update(value.raw_data(), static_cast<size_t>(value.numel() * size_of(value.dtype())));
  }
  return "sha256:" + hash.hex();
}

}  // namespace terrace
