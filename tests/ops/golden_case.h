// One case of tests/golden/ops.h5: its inputs, and the expected value and gradients.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/support.h"

namespace terrace {

class GoldenCase {
 public:
  explicit GoldenCase(const std::string& name) : group_("cases/" + name) {}
  Tensor input(const std::string& argument) const { return golden_.read(group_ + "/inputs/" + argument); }
  Variable leaf(const std::string& argument) const { return Variable(input(argument), Requires::kGrad); }
  Tensor output(const std::string& what) const { return golden_.read(group_ + "/outputs/" + what); }

  /// y must be the case's, and so must the gradients of sum(y * w) for the leaves, given by argument.
  void expect(const Variable& y, const std::vector<std::pair<std::string, Variable>>& leaves) const {
    EXPECT_CLOSE(y, output("y"), 5e-6);
    y.backward(input("w"));
    for (const auto& [argument, leaf] : leaves) {
      EXPECT_CLOSE(leaf.grad(), golden_.read(group_ + "/grads/" + argument), 2e-5) << argument;
    }
  }

 private:
  GoldenFile golden_{"ops.h5"};
  std::string group_;
};

}  // namespace terrace
