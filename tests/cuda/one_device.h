// Ops take tensors of one device and say by name which is elsewhere.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/support.h"

namespace terrace {

using Tensors = std::vector<Tensor>;

struct NamedOperand {
  const char* name;  // as messages call it
  Shape shape;
  DType dtype = DType::kF32;
};

/// call(tensors) must compute with all operands on the CPU, and refuse each of them on cuda-host beside the others, by
/// a DeviceError that begins with `op`. Operands.EveryOpOfSeveralTensorsIsTested finds these calls by the op's name.
inline void expect_one_device(const std::string& op, const std::vector<NamedOperand>& operands,
                              const std::function<void(const Tensors&)>& call) {
  const auto message_with = [&](size_t elsewhere) -> std::string {
    Tensors tensors;
    for (size_t i = 0; i < operands.size(); ++i) {
      const Tensor t = Tensor::zeros(operands[i].shape, operands[i].dtype);
      tensors.push_back(i == elsewhere ? t.to(device_from_name("cuda-host")) : t);
    }
    try {
      call(tensors);
    } catch (const DeviceError& error) { return error.what(); }
    return "";
  };
  EXPECT_EQ(message_with(operands.size()), "") << op << ", all on the CPU";
  for (size_t i = 0; i < operands.size(); ++i) {
    const size_t other = i == 0 ? 1 : i;
    const char *first = i == 0 ? "cuda-host" : "cpu", *second = i == 0 ? "cpu" : "cuda-host";
    EXPECT_EQ(message_with(i), cat(op, ": ", operands[0].name, " is on ", first, ", ", operands[other].name, " on ",
                                   second, "; move one with to(device)"));
  }
}

}  // namespace terrace
