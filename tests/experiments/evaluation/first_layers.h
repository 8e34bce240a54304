// Weights by chance of Inception's layers before its first pooling, which serve level 64.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "data/formats/tensor_writer.h"
#include "tests/support.h"

namespace terrace {

inline void write_first_layers(const std::string& path) {
  const std::vector<std::pair<std::string, Shape>> layers = {
      {"Conv2d_1a_3x3", {32, 3, 3, 3}}, {"Conv2d_2a_3x3", {32, 32, 3, 3}}, {"Conv2d_2b_3x3", {64, 32, 3, 3}}};
  std::vector<TensorEntry> entries;
  for (const auto& [name, shape] : layers) {
    entries.push_back({name + ".conv.weight", DType::kF32, shape});
    for (const char* part : {"weight", "bias", "running_mean", "running_var"}) {
      entries.push_back({name + ".bn." + part, DType::kF32, {shape[0]}});
    }
  }
  auto writer = create_tensor_file(path, entries);
  uint64_t seed = 0;
  for (const TensorEntry& entry : entries) {
    const bool positive = entry.name.ends_with("bn.weight") || entry.name.ends_with("var");
    writer->write(random_tensor(entry.shape, ++seed, positive ? 0.5 : -0.2, positive ? 1.5 : 0.2));
  }
  writer->commit();
}

}  // namespace terrace
