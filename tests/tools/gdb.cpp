// gdb in a kernel of the executor, as docs/debugging.md promises, and the commands of tools/gdb/terrace.py.
#include "data/files/atomic_file.h"
#include "tests/support.h"

namespace terrace {
namespace {

constexpr const char* kProgram = R"(#include "autograd/functions.h"
#include "autograd/variable_impl.h"
#include "cuda/executor/intrinsics.h"

__global__ void halve(const float* x, float* y, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const float value = i < count ? x[i] : 0;
  __syncthreads();
  if (i < count) { y[i] = value / 2; }
}

int main() {
  using namespace terrace;
  const Tensor x = Tensor::arange(96, DType::kF32).view({3, 32});
  Tensor y = Tensor::zeros({3, 32});
  const Tensor columns = x.transpose(0, 1), nothing;
  const Variable leaf(Tensor::full({2}, 1.5, DType::kF64), Requires::kGrad), made = exp(leaf);
  executor::run("halve", 3, 32, 0, [&] { halve(x.data<float>(), y.data<float>(), 96); });
  return y.data<float>()[95] == 47.5f ? 0 : 1;
}
)";

/// The program, unoptimised and with the executor's sources in it, as `make debug` builds them.
std::string build_program(const TemporaryFolder& folder) {
  write_file(folder / "halve.cpp", kProgram);
  const std::string library = program_path("../lib").lexically_normal().string();
  const CommandResult built =
      run_command("cd " + source_root().string() + " && ${CXX:-g++} -std=c++20 -O0 -g3 -DTERRACE_CUDA_HOST -I. " +
                  folder / "halve.cpp" + " cuda/executor/*.cpp -L" + library + " -lterrace -Wl,-rpath," + library +
                  " -o " + folder / "halve");
  EXPECT_EQ(built.status, 0) << built.output;
  return folder / "halve";
}

std::string gdb(const std::string& program, const std::vector<std::string>& commands) {
  std::string line = "gdb -q -batch -nx -x " + (source_root() / "tools/gdb/terrace.py").string();
  for (const std::string& command : commands) { line += " -ex '" + command + "'"; }
  return run_command(line + " " + program).output;
}

void expect_in(const std::string& output, std::initializer_list<const char*> texts) {
  for (const char* text : texts) { EXPECT_NE(output.find(text), std::string::npos) << text << "\nin\n" << output; }
}

TEST(Gdb, KernelsShowTheirThreadAndLocals) {
  if (run_command("gdb --version && ${CXX:-g++} --version").status != 0) { GTEST_SKIP() << "needs gdb and a compiler"; }
  const TemporaryFolder folder;
  const std::string program = build_program(folder);
  const std::string in_kernel =
      gdb(program, {"break 9 if blockIdx.x == 1 && threadIdx.x == 5", "run", "print threadIdx", "print blockIdx",
                    "info locals", "terrace-thread", "terrace-threads", "bt 1"});
  expect_in(in_kernel, {"= {x = 5, y = 0, z = 0}", "= {x = 1, y = 0, z = 0}", "i = 37\nvalue = 37\n",
                        "halve: block (1,0,0) of (3,1,1), thread (5,0,0) of (32,1,1), lane 5 of warp 0\n",
                        "halve: block (1,0,0) of (3,1,1)\n  threads 0 to 4: left the kernel\n  thread 5: stands here\n"
                        "  threads 6 to 31: ready to run\n",
                        "#0  halve ("});
  // Before the barrier: those that ran first wait for the others.
  expect_in(gdb(program, {"break 7 if threadIdx.x == 2", "run", "terrace-threads"}),
            {"  threads 0 to 1: at the barrier in halve.cpp:8\n  thread 2: stands here\n"});
}

TEST(Gdb, TensorsPrintAsWhatTheyHold) {
  if (run_command("gdb --version && ${CXX:-g++} --version").status != 0) { GTEST_SKIP() << "needs gdb and a compiler"; }
  const TemporaryFolder folder;
  const std::string output =
      gdb(build_program(folder), {"break 18", "run", "print x", "print x.shape_", "print columns", "print nothing",
                                  "print leaf", "print made", "terrace-thread"});
  expect_in(output,
            {"= f32 (3, 32) cpu: 0, 1, 2, 3, 4, 5, 6, 7, ...\n", "= (3, 32)\n", "= f32 (32, 3) cpu, strides (1, 32)\n",
             "= undefined\n", "= needs a gradient, f64 (2,) cpu: 1.5, 1.5\n",
             "= by exp, f64 (2,) cpu: 4.48169, 4.48169\n", "no kernel runs in this thread"});
}

}  // namespace
}  // namespace terrace
