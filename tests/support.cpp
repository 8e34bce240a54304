#include "tests/support.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "data/hdf5/file.h"
#include "experiments/fixtures/difference.h"
#include "tensor/random.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

fs::path test_program() { return fs::read_symlink("/proc/self/exe"); }

/// Row-major position of a flat index, as text: (1, 0, 4).
std::string position(const Shape& shape, int64_t flat) {
  Shape at(std::vector<int64_t>(static_cast<size_t>(shape.size()), 0));
  for (int64_t i = shape.size(); i-- > 0;) {
    at[i] = flat % shape[i];
    flat /= shape[i];
  }
  return cat(at);
}

testing::AssertionResult report(const char* actual_text, const char* expected_text, const Tensor& actual,
                                const Tensor& expected, const char* measure, double (*error_of)(const Difference&),
                                double tolerance) {
  if (!actual.defined() || !expected.defined()) {
    return testing::AssertionFailure() << (actual.defined() ? expected_text : actual_text) << " is undefined";
  }
  if (actual.shape() != expected.shape()) {
    return testing::AssertionFailure() << actual_text << " is " << actual.describe() << ", expected "
                                       << expected.describe();
  }
  const Difference d = difference(actual, expected);
  const double error = error_of(d);
  if (error <= tolerance) { return testing::AssertionSuccess(); }
  std::ostringstream text;
  text.precision(9);
  text << actual_text << " differs from " << expected_text << ": " << measure << " error " << error << " > "
       << tolerance << " in " << actual.describe() << "; worst at " << position(actual.shape(), d.index) << ": " << d.a
       << ", expected " << d.b << " (largest magnitude " << d.scale << "); " << d.count << " elements differ";
  return testing::AssertionFailure() << text.str();
}

}  // namespace

fs::path source_root() {
  for (fs::path start : {test_program().parent_path(), fs::current_path()}) {
    for (fs::path folder = start;; folder = folder.parent_path()) {
      if (fs::exists(folder / "tests/golden/ops.h5")) { return folder; }
      if (folder == folder.parent_path()) { break; }
    }
  }
  throw IoError("tests: no tests/golden above the test program or the working directory");
}

fs::path program_path(const std::string& name) { return test_program().parent_path() / name; }

/// The fixture that was used last stays open: a file without checksums is read by a process of its own.
static const Hdf5File& opened(const std::string& path) {
  static std::unique_ptr<const Hdf5File> file;
  if (file == nullptr || file->path() != path) { file = std::make_unique<const Hdf5File>(Hdf5File::open(path)); }
  return *file;
}

Tensor GoldenFile::read(const std::string& dataset) const { return opened(path_).read(dataset).to(test_device()); }
bool GoldenFile::has(const std::string& object) const { return opened(path_).has(object); }
std::vector<std::string> GoldenFile::list(const std::string& group) const { return opened(path_).list(group); }
std::string GoldenFile::attribute(const std::string& object, const std::string& name) const {
  return opened(path_).read_attr_string(object.empty() ? "/" : object, name);
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (fs::temp_directory_path() / "terrace_test_XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) { throw IoError(cat("tests: cannot make ", pattern, ": ", strerror(errno))); }
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string test_data_path(const std::string& relative_path) {
  const char* folder = std::getenv("TERRACE_TEST_DATA");
  if (folder == nullptr) { return ""; }
  const fs::path path = fs::path(folder) / relative_path;
  return fs::exists(path) ? path.string() : "";
}

CommandResult run_command(const std::string& command) {
  FILE* pipe = popen(("( " + command + " ) 2>&1").c_str(), "r");
  if (pipe == nullptr) { throw IoError(cat("tests: cannot run ", command)); }
  CommandResult result;
  std::array<char, 4096> buffer;
  for (size_t n; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) { result.output.append(buffer.data(), n); }
  const int status = pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

Device test_device() {
  static const Device device = [] {
    const char* name = std::getenv("TERRACE_TEST_DEVICE");
    return name == nullptr ? kCpu : device_from_name(name);
  }();
  return device;
}

const std::optional<Device>& gpu() {
  static const std::optional<Device> found = []() -> std::optional<Device> {
    try {
      return device_from_name("cuda");
    } catch (const DeviceError&) { return std::nullopt; }
  }();
  return found;
}

Tensor random_tensor(const Shape& shape, uint64_t seed, double low, double high, DType dtype) {
  Generator generator(seed);
  Tensor values = Tensor::empty(shape, DType::kF64);
  uniform_(values, low, high, generator);
  return values.to(dtype).to(test_device());
}

Variable random_leaf(const Shape& shape, uint64_t seed, double low, double high, DType dtype) {
  return Variable(random_tensor(shape, seed, low, high, dtype), Requires::kGrad);
}

double relative_error(const TensorArgument& a, const TensorArgument& b) {
  return difference(a.tensor, b.tensor).relative();
}
double absolute_error(const TensorArgument& a, const TensorArgument& b) { return difference(a.tensor, b.tensor).worst; }

testing::AssertionResult is_close(const char* actual_text, const char* expected_text, const TensorArgument& actual,
                                  const TensorArgument& expected, double tolerance) {
  return report(
      actual_text, expected_text, actual.tensor, expected.tensor, "relative",
      [](const Difference& d) { return d.relative(); }, tolerance);
}

testing::AssertionResult is_near(const char* actual_text, const char* expected_text, const TensorArgument& actual,
                                 const TensorArgument& expected, double tolerance) {
  return report(
      actual_text, expected_text, actual.tensor, expected.tensor, "absolute",
      [](const Difference& d) { return d.worst; }, tolerance);
}

testing::AssertionResult is_same(const char* actual_text, const char* expected_text, const TensorArgument& actual,
                                 const TensorArgument& expected) {
  const Tensor a = actual.tensor.to(kCpu).contiguous(), b = expected.tensor.to(kCpu).contiguous();
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) {
    return testing::AssertionFailure() << actual_text << " is " << a.describe() << ", expected " << b.describe();
  }
  const size_t bytes = static_cast<size_t>(a.numel() * size_of(a.dtype()));
  if (bytes == 0 || std::memcmp(a.raw_data(), b.raw_data(), bytes) == 0) { return testing::AssertionSuccess(); }
  const Difference d = difference(a, b);
  if (d.index < 0) {
    return testing::AssertionFailure() << actual_text << " differs from " << expected_text << " in bits only";
  }
  return report(
      actual_text, expected_text, a, b, "absolute", [](const Difference& x) { return x.worst; }, -1);
}

}  // namespace terrace
