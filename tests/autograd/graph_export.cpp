#include "autograd/graph_export.h"

#include "autograd/functions.h"
#include "tests/support.h"

namespace terrace {
namespace {

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) { ++n; }
  return n;
}

TEST(GraphExport, ShowsOpsLeavesAndArrows) {
  const Variable x = random_leaf({2, 3}, 1), w = random_leaf({5, 3}, 2), unnamed = random_leaf({5}, 3);
  const std::string dot = to_dot(sum(tanh(linear(x, w, unnamed))), {{"input", x}, {"weight", w}});
  EXPECT_EQ(dot.rfind("digraph", 0), 0u) << dot;
  for (const char* part : {"linear", "tanh", "sum", "input", "weight", "(2, 3)", "(5, 3)", "(5,)", "(2, 5)"}) {
    EXPECT_NE(dot.find(part), std::string::npos) << part << " in\n" << dot;
  }
  EXPECT_EQ(count(dot, "->"), 5u) << dot;
}

TEST(GraphExport, ASharedLeafOccursOnce) {
  const Variable x = random_leaf({4}, 1);
  const std::string dot = to_dot(x * x + x, {{"shared", x}});
  EXPECT_EQ(count(dot, "shared"), 1u) << dot;
  EXPECT_EQ(count(dot, "->"), 4u) << dot;
}

TEST(GraphExport, NamesAreQuoted) {
  const Variable x = random_leaf({4}, 1);
  const std::string dot = to_dot(exp(x), {{"blocks.0.\"odd\"", x}});
  EXPECT_NE(dot.find("blocks.0.\\\"odd\\\""), std::string::npos) << dot;
}

TEST(GraphExport, DeepGraphs) {
  Variable y = random_leaf({1}, 1);
  for (int i = 0; i < 20000; ++i) { y = add_scalar(y, 1); }
  EXPECT_EQ(count(to_dot(y), "->"), 20000u);
}

}  // namespace
}  // namespace terrace
