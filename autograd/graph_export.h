// The graph below a variable as text for Graphviz.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "autograd/variable.h"

namespace terrace {

/// DOT source: boxes are ops (name and result shape), ellipses are leaves (name where given, shape); arrows follow the
/// data. Render it with: dot -Tsvg graph.dot -o graph.svg
std::string to_dot(const Variable& output, const std::vector<std::pair<std::string, Variable>>& names = {});

}  // namespace terrace
