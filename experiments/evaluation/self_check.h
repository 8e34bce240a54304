// evaluate --self-check: properties that the figures must have, tried on this machine.
#pragma once

#include <string>
#include <vector>

namespace terrace {

struct SelfCheck {
  std::string what;
  double value = 0, expected = 0, allowed = 0;
  bool passed = false;
};

/// FID(x, x) = 0, also of few samples; two known Gaussians; a rotation of the features; the order of the images, on
/// which the Inception Score depends and FID does not; KID, precision and recall of a set and itself.
std::vector<SelfCheck> self_check();

}  // namespace terrace
