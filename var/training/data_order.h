// Which images a step trains on.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace terrace {

/// Epochs are shuffled one by one and read through without gaps: a batch may end one epoch and begin the next. Where
/// the order stands depends on the number of the step alone, so a resumed run needs nothing else.
class DataOrder {
 public:
  DataOrder(int64_t images, int64_t batch, uint64_t seed) : images_(images), batch_(batch), seed_(seed) {}
  /// The images of the step that follows `step` done ones.
  std::vector<int64_t> batch_rows(int64_t step);

 private:
  int64_t images_, batch_;
  uint64_t seed_;
  int64_t epoch_ = -1;  // whose order is in `order_`
  std::vector<int64_t> order_;
};

/// Rows of a table of i64 on the CPU.
Tensor take_rows(const Tensor& table, std::span<const int64_t> rows);

}  // namespace terrace
