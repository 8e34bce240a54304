// Ops take tensors of one device and say by name which is elsewhere: every op of several tensors, each operand in turn.
#include <regex>
#include <set>

#include "autograd/functions.h"
#include "autograd/ops/nearest_code.h"
#include "data/files/atomic_file.h"
#include "tensor/matmul.h"
#include "tensor/pointwise.h"
#include "tests/cuda/parity.h"

namespace terrace {
namespace {

struct Operand {
  const char* name;  // as messages call it
  Shape shape;
  DType dtype = DType::kF32;
};

struct OpOfSeveral {
  const char* name;
  const char* says;  // the name in messages
  std::vector<Operand> operands;
  std::function<void(const std::vector<Tensor>&)> call;
};

using Tensors = std::vector<Tensor>;
using V = Variable;

const std::vector<OpOfSeveral>& ops() {
  constexpr DType kI64 = DType::kI64;
  const std::vector<Operand> two = {{"a", {3}}, {"b", {3}}};
  static const std::vector<OpOfSeveral> all = {
      {"add", "add", two, [](const Tensors& t) { add(V(t[0]), V(t[1])); }},
      {"sub", "sub", two, [](const Tensors& t) { sub(V(t[0]), V(t[1])); }},
      {"mul", "mul", two, [](const Tensors& t) { mul(V(t[0]), V(t[1])); }},
      {"div", "div", two, [](const Tensors& t) { div(V(t[0]), V(t[1])); }},
      {"maximum", "maximum", two, [](const Tensors& t) { maximum(V(t[0]), V(t[1])); }},
      {"minimum", "minimum", two, [](const Tensors& t) { minimum(V(t[0]), V(t[1])); }},
      {"apply", "add", two, [](const Tensors& t) { apply(Add{}, V(t[0]), V(t[1])); }},
      {"add_", "add_", two,
       [](const Tensors& t) {
         Tensor a = t[0];
         add_(a, t[1]);
       }},
      {"matmul", "matmul", {{"a", {2, 3}}, {"b", {3, 2}}}, [](const Tensors& t) { matmul(V(t[0]), V(t[1])); }},
      {"matmul_into",
       "matmul_into",
       {{"a", {2, 3}}, {"b", {3, 2}}, {"c", {2, 2}}},
       [](const Tensors& t) {
         Tensor c = t[2];
         matmul_into(t[0], t[1], c);
       }},
      {"linear",
       "linear",
       {{"x", {2, 3}}, {"weight", {4, 3}}, {"bias", {4}}},
       [](const Tensors& t) { linear(V(t[0]), V(t[1]), V(t[2])); }},
      {"linear_gelu",
       "linear_gelu",
       {{"x", {2, 3}}, {"weight", {4, 3}}, {"bias", {4}}},
       [](const Tensors& t) { linear_gelu(t[0], t[1], t[2], nullptr); }},
      {"feed_forward",
       "feed_forward",
       {{"x", {2, 3}}, {"weight1", {4, 3}}, {"bias1", {4}}, {"weight2", {3, 4}}, {"bias2", {3}}},
       [](const Tensors& t) { feed_forward(V(t[0]), V(t[1]), V(t[2]), V(t[3]), V(t[4])); }},
      {"conv2d",
       "conv2d",
       {{"x", {1, 2, 3, 3}}, {"weight", {4, 2, 3, 3}}, {"bias", {4}}},
       [](const Tensors& t) { conv2d(V(t[0]), V(t[1]), V(t[2])); }},
      {"embedding",
       "embedding",
       {{"weight", {4, 2}}, {"indices", {3}, kI64}},
       [](const Tensors& t) { embedding(V(t[0]), t[1]); }},
      {"cross_entropy",
       "cross_entropy",
       {{"logits", {3, 5}}, {"targets", {3}, kI64}},
       [](const Tensors& t) { cross_entropy(V(t[0]), t[1]); }},
      {"layer_norm",
       "layer_norm",
       {{"x", {2, 3}}, {"weight", {3}}, {"bias", {3}}},
       [](const Tensors& t) { layer_norm(V(t[0]), 1e-6, V(t[1]), V(t[2])); }},
      {"layer_norm_modulate",
       "layer_norm_modulate",
       {{"x", {1, 2, 3}}, {"scale", {1, 1, 3}}, {"shift", {1, 1, 3}}},
       [](const Tensors& t) { layer_norm_modulate(V(t[0]), V(t[1]), V(t[2]), 1e-6); }},
      {"group_norm",
       "group_norm",
       {{"x", {1, 4, 2}}, {"weight", {4}}, {"bias", {4}}},
       [](const Tensors& t) { group_norm(V(t[0]), 2, V(t[1]), V(t[2]), 1e-6); }},
      {"group_norm_silu",
       "group_norm_silu",
       {{"x", {1, 4, 2}}, {"weight", {4}}, {"bias", {4}}},
       [](const Tensors& t) { group_norm_silu(V(t[0]), 2, V(t[1]), V(t[2]), 1e-6); }},
      {"batch_norm_eval",
       "batch_norm_eval",
       {{"x", {1, 4, 2}}, {"running_mean", {4}}, {"running_var", {4}}, {"weight", {4}}, {"bias", {4}}},
       [](const Tensors& t) { batch_norm_eval(V(t[0]), t[1], t[2], V(t[3]), V(t[4]), 1e-5); }},
      {"gated_residual",
       "gated_residual",
       {{"x", {1, 2, 3}}, {"y", {1, 2, 3}}, {"gamma", {1, 1, 3}}},
       [](const Tensors& t) { gated_residual(V(t[0]), V(t[1]), V(t[2])); }},
      {"attention",
       "attention",
       {{"q", {1, 2, 1, 3}}, {"k", {1, 2, 1, 3}}, {"v", {1, 2, 1, 3}}},
       [](const Tensors& t) { attention(V(t[0]), V(t[1]), V(t[2]), Visibility::full(), 1); }},
      {"pyramid_attention",
       "pyramid_attention",
       {{"qkv", {1, 1, 6}}, {"scale_mul", {1, 2, 1, 1}}},
       [](const Tensors& t) { pyramid_attention(V(t[0]), 2, V(t[1]), Visibility::full(), 1); }},
      {"gather", "gather", {{"x", {3}}, {"index", {3}, kI64}}, [](const Tensors& t) { gather(V(t[0]), 0, t[1]); }},
      {"where",
       "where",
       {{"condition", {3}, DType::kBool}, {"a", {3}}, {"b", {3}}},
       [](const Tensors& t) { where(t[0], V(t[1]), V(t[2])); }},
      {"nearest_code",
       "nearest_code",
       {{"x", {2, 3}}, {"codes", {4, 3}}},
       [](const Tensors& t) { nearest_code(t[0], t[1]); }},
      {"concat",
       "concat",
       {{"the first part", {3}}, {"another", {3}}},
       [](const Tensors& t) {
         concat({V(t[0]), V(t[1])}, 0);
       }},
  };
  return all;
}

/// What is thrown where operand `elsewhere` is on cuda-host and the others on the CPU; "" where nothing is.
std::string message_of(const OpOfSeveral& op, size_t elsewhere) {
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < op.operands.size(); ++i) {
    const Tensor t = Tensor::zeros(op.operands[i].shape, op.operands[i].dtype);
    tensors.push_back(i == elsewhere ? t.to(executor_device()) : t);
  }
  try {
    op.call(tensors);
  } catch (const DeviceError& error) { return error.what(); }
  return "";
}

TEST(Operands, OfTwoDevicesAreRefusedByName) {
  for (const OpOfSeveral& op : ops()) {
    EXPECT_EQ(message_of(op, op.operands.size()), "") << op.name << ", all on the CPU";
    for (size_t i = 0; i < op.operands.size(); ++i) {
      const size_t other = i == 0 ? 1 : i;
      const char *here = i == 0 ? "cuda-host" : "cpu", *there = i == 0 ? "cpu" : "cuda-host";
      EXPECT_EQ(message_of(op, i), cat(op.says, ": ", op.operands[0].name, " is on ", here, ", ",
                                       op.operands[other].name, " on ", there, "; move one with to(device)"));
    }
  }
}

TEST(Operands, AGradientFromElsewhereIsRefused) {
  const Variable x(Tensor::zeros({3}), Requires::kGrad), y = scale(x, 2);
  const Tensor there = Tensor::zeros({3}, DType::kF32, executor_device());
  const std::string text = "backward: the output is on cpu, the seed on cuda-host; move one with to(device)";
  expect_error<DeviceError>([&] { y.backward(there); }, text);
  expect_error<DeviceError>([&] { grad({y}, {x}, {there}); }, text);
}

/// Functions declared in a header that take two tensors or more, or a list of them, and give one.
std::set<std::string> ops_of_several(const std::filesystem::path& header) {
  const std::string text = std::regex_replace(read_file(header.string()), std::regex("//[^\n]*"), "");
  static const std::regex declaration(R"((Variable|Tensor|void) (\w+)\(([^;{]*)\)\s*[;{])");
  static const std::regex tensor(R"(\b(const )?(Variable|Tensor)\b)"), list("std::vector<Variable>");
  std::set<std::string> names;
  for (std::sregex_iterator it(text.begin(), text.end(), declaration), end; it != end; ++it) {
    const std::string arguments = (*it)[3];
    const auto count = std::distance(std::sregex_iterator(arguments.begin(), arguments.end(), tensor), end);
    if (count > 1 || std::regex_search(arguments, list)) { names.insert((*it)[2]); }
  }
  return names;
}

TEST(Operands, TheTableHasEveryOp) {
  if (!std::filesystem::exists(source_root() / "autograd/ops")) { GTEST_SKIP() << "the sources are not here"; }
  // Steps of ops that are in the table: of the norms, and of gather's and sort's backward.
  std::set<std::string> tested = {"channel_parameter", "gather_gradient"};
  for (const OpOfSeveral& op : ops()) { tested.insert(op.name); }
  size_t found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source_root() / "autograd/ops")) {
    if (entry.path().extension() != ".h") { continue; }
    for (const std::string& name : ops_of_several(entry.path())) {
      ++found;
      EXPECT_TRUE(tested.contains(name)) << name << " of " << entry.path().filename() << " is not in the table";
    }
  }
  EXPECT_GT(found, 20);
}

}  // namespace
}  // namespace terrace
