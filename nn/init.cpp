#include "nn/init.h"

#include <cmath>

#include "nn/weight_scopes.h"
#include "tensor/device/interruption.h"

namespace terrace {

Fans compute_fans(const Shape& shape) {
  if (shape.size() < 2) {
    throw ShapeError(cat("compute_fans: a weight (out, in, ...) has two dimensions or more, got ", shape));
  }
  int64_t field = 1;
  for (int64_t i = 2; i < shape.size(); ++i) { field *= shape[i]; }
  return {shape[1] * field, shape[0] * field};
}

void trunc_normal_(Variable& p, double std, Generator& g) {
  if (draws_initial_values()) {
    interruption_point();
    trunc_normal_(p.value(), 0, std, -2, 2, g);
  }
}

void normal_(Variable& p, double std, Generator& g) {
  if (draws_initial_values()) {
    interruption_point();
    normal_(p.value(), 0, std, g);
  }
}

void uniform_(Variable& p, double low, double high, Generator& g) {
  if (draws_initial_values()) {
    interruption_point();
    uniform_(p.value(), low, high, g);
  }
}

void xavier_uniform_(Variable& p, double gain, Generator& g) {
  const Fans fans = compute_fans(p.shape());
  const double bound = gain * std::sqrt(6.0 / static_cast<double>(fans.in + fans.out));
  uniform_(p, -bound, bound, g);
}

void xavier_normal_(Variable& p, double gain, Generator& g) {
  const Fans fans = compute_fans(p.shape());
  normal_(p, gain * std::sqrt(2.0 / static_cast<double>(fans.in + fans.out)), g);
}

void kaiming_uniform_(Variable& p, double gain, Generator& g) {
  const double bound = gain * std::sqrt(3.0 / static_cast<double>(compute_fans(p.shape()).in));
  uniform_(p, -bound, bound, g);
}

void constant_(Variable& p, double value) { p.value().fill_(value); }

}  // namespace terrace
