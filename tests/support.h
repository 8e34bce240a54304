// What the tests share: golden fixtures, comparisons that say where tensors differ, seeded inputs, expected errors.
//
//   GoldenFile golden("ops.h5");
//   EXPECT_CLOSE(softmax(x), golden.read("cases/softmax/outputs/y"), 5e-6);
//   expect_error<ShapeError>([&] { matmul(a, b); }, "matmul");
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "autograd/variable.h"
#include "tensor/tensor.h"

namespace terrace {

// --- Files ---------------------------------------------------------------------------------------------------------

/// The root of the source tree: the first folder above the test program or the working directory that holds
/// tests/golden.
std::filesystem::path source_root();
/// The path of build/bin/NAME, beside the test program.
std::filesystem::path program_path(const std::string& name);

/// A fixture of tests/golden, opened by file name.
class GoldenFile {
 public:
  explicit GoldenFile(const std::string& name) : path_((source_root() / "tests/golden" / name).string()) {}
  const std::string& path() const { return path_; }
  Tensor read(const std::string& dataset) const;  // on test_device()
  bool has(const std::string& object) const;
  std::vector<std::string> list(const std::string& group) const;  // names of the members, sorted
  /// A string attribute of a group or dataset; "" is the root: attribute("", "config").
  std::string attribute(const std::string& object, const std::string& name) const;

 private:
  std::string path_;
};

/// An empty folder that is removed with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string path() const { return path_.string(); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// Data too large for the repository: TERRACE_TEST_DATA names its folder. Tests without it are visibly skipped.
#define SKIP_WITHOUT_DATA(variable, relative_path)                       \
  const std::string variable = ::terrace::test_data_path(relative_path); \
  if (variable.empty()) GTEST_SKIP() << "needs " << (relative_path) << "; set TERRACE_TEST_DATA to its folder"
std::string test_data_path(const std::string& relative_path);  // "" where it is missing

/// Runs a shell command; its exit status, and stdout and stderr together.
struct CommandResult {
  int status = 0;
  std::string output;
};
CommandResult run_command(const std::string& command);

// --- Inputs --------------------------------------------------------------------------------------------------------

/// Where the tests' inputs are: the device that TERRACE_TEST_DEVICE names, else the CPU.
Device test_device();
/// The GPU, where the backend is built and finds one.
const std::optional<Device>& gpu();

/// Tensors of given values on test_device().
struct Here {
  static Tensor zeros(const Shape& shape, DType dtype = DType::kF32) {
    return Tensor::zeros(shape, dtype, test_device());
  }
  static Tensor full(const Shape& shape, double value, DType dtype = DType::kF32) {
    return Tensor::full(shape, value, dtype, test_device());
  }
  static Tensor scalar(double value, DType dtype = DType::kF32) { return full({}, value, dtype); }
  static Tensor arange(int64_t count) { return Tensor::arange(count).to(test_device()); }
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape) {
    return Tensor::from(values, shape).to(test_device());
  }
};

/// Uniform in [low, high): the same for the same shape and seed, whatever the dtype (up to rounding).
Tensor random_tensor(const Shape& shape, uint64_t seed, double low = -1, double high = 1, DType dtype = DType::kF32);
/// The same as a leaf that requires a gradient.
Variable random_leaf(const Shape& shape, uint64_t seed, double low = -1, double high = 1, DType dtype = DType::kF32);

// --- Comparisons ---------------------------------------------------------------------------------------------------

/// A Tensor or the value of a Variable.
struct TensorArgument {
  TensorArgument(const Tensor& t) : tensor(t) {}
  TensorArgument(const Variable& v) : tensor(v.value()) {}
  Tensor tensor;
};

/// max|a - b| / max|b| (max|a - b| where b is all zero). Elements that are the same infinity, or both NaN, agree;
/// any other difference in them makes the error infinite. Throws ShapeError where shapes differ.
double relative_error(const TensorArgument& a, const TensorArgument& b);
double absolute_error(const TensorArgument& a, const TensorArgument& b);

testing::AssertionResult is_close(const char* actual_text, const char* expected_text, const TensorArgument& actual,
                                  const TensorArgument& expected, double tolerance);
testing::AssertionResult is_near(const char* actual_text, const char* expected_text, const TensorArgument& actual,
                                 const TensorArgument& expected, double tolerance);
testing::AssertionResult is_same(const char* actual_text, const char* expected_text, const TensorArgument& actual,
                                 const TensorArgument& expected);

/// Shapes equal and relative_error <= tolerance; the message gives the worst index and both values.
#define EXPECT_CLOSE(actual, expected, tolerance) \
  EXPECT_TRUE(::terrace::is_close(#actual, #expected, (actual), (expected), (tolerance)))
/// The same with absolute_error.
#define EXPECT_NEAR_TENSOR(actual, expected, tolerance) \
  EXPECT_TRUE(::terrace::is_near(#actual, #expected, (actual), (expected), (tolerance)))
/// Shape, dtype and every bit equal.
#define EXPECT_SAME(actual, expected) EXPECT_TRUE(::terrace::is_same(#actual, #expected, (actual), (expected)))

/// `f` must throw exactly an E whose text holds `text`.
template <class E, class F>
void expect_error(F&& f, const std::string& text) {
  try {
    f();
  } catch (const E& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos)
        << "the error says: " << error.what() << "\nexpected in it: " << text;
    return;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another type of error: " << error.what() << "\nexpected text: " << text;
    return;
  }
  ADD_FAILURE() << "no error; expected one with: " << text;
}

}  // namespace terrace
