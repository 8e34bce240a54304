// What a Variable's handle points to. Private to autograd/.
#pragma once

#include "autograd/node.h"

namespace terrace {

struct Variable::Impl {
  Tensor value;
  Tensor grad;
  bool requires_grad = false;
  std::shared_ptr<Node> node;       // null for leaves and constants
  int output = 0;                   // which of the node's results this is
  std::vector<GradientHook> hooks;  // of leaves; other hooks live in the node's Output
};

/// The gradient of one variable while it is summed: adds `term`, taking over its memory where nobody else holds it.
void add_gradient(Tensor& sum, Tensor term);

bool anomaly_mode();

}  // namespace terrace
