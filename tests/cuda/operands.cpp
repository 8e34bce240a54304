// Every op of several tensors has a test of what it does with operands of two devices (tests/cuda/one_device.h), and a
// gradient from another device is refused.
#include <regex>
#include <set>

#include "autograd/functions.h"
#include "data/files/atomic_file.h"
#include "tests/cuda/parity.h"

namespace terrace {
namespace {

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

/// The ops that tests/ops give to expect_one_device().
std::set<std::string> tested_ops() {
  static const std::regex call(R"re(expect_one_device\(\s*"(\w+)")re");
  // Steps of ops that are tested: of the norms, of gather's and sort's backward, and of the named pointwise functions.
  std::set<std::string> names = {"channel_parameter", "gather_gradient", "apply"};
  for (const auto& entry : std::filesystem::directory_iterator(source_root() / "tests/ops")) {
    const std::string text = read_file(entry.path().string());
    for (std::sregex_iterator it(text.begin(), text.end(), call), end; it != end; ++it) { names.insert((*it)[1]); }
  }
  return names;
}

TEST(Operands, EveryOpOfSeveralTensorsIsTested) {
  if (!std::filesystem::exists(source_root() / "autograd/ops")) { GTEST_SKIP() << "the sources are not here"; }
  const std::set<std::string> tested = tested_ops();
  size_t found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source_root() / "autograd/ops")) {
    if (entry.path().extension() != ".h") { continue; }
    for (const std::string& name : ops_of_several(entry.path())) {
      ++found;
      EXPECT_TRUE(tested.contains(name)) << name << " of " << entry.path().filename()
                                         << " has no test by expect_one_device()";
    }
  }
  EXPECT_GT(found, 20);
}

}  // namespace
}  // namespace terrace
