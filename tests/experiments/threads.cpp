// The number of threads changes no bit of what programs train: they may change it while they run.
#include "data/hdf5/file.h"
#include "tests/experiments/programs.h"

namespace terrace {
namespace {

using Threads = Programs;

/// The trained weights of OUT/checkpoint.h5 by name.
void expect_same_weights(const std::string& a, const std::string& b) {
  const Hdf5File left = Hdf5File::open(a + "/checkpoint.h5"), right = Hdf5File::open(b + "/checkpoint.h5");
  int64_t compared = 0;
  for (const std::string& name : left.walk()) {
    if (name.rfind("model/", 0) != 0) { continue; }
    SCOPED_TRACE(name);
    EXPECT_SAME(left.read(name), right.read(name));
    ++compared;
  }
  EXPECT_GT(compared, 20);
}

TEST_F(Threads, TrainTheSameTokenizer) {
  const std::string arguments = "--data " + file("data.h5") + " --steps 3 --batch 8 --evaluate-images 4 --out ";
  expect_success(run("train_vqvae", arguments + file("one") + " --threads 1"));
  expect_success(run("train_vqvae", arguments + file("two") + " --threads 2"));
  expect_same_weights(file("one"), file("two"));
}

TEST_F(Threads, TrainTheSameTransformer) {
  for (const std::string dtype : {"f32", "bf16"}) {
    SCOPED_TRACE(dtype);
    const std::string arguments = "--data " + file("data.h5") + " --tokenizer " + file("vqvae/checkpoint.h5") +
                                  " --depth 2 --steps 3 --batch 8 --evaluate-images 4 --dtype " + dtype + " --out ";
    expect_success(run("train_var", arguments + file("one" + dtype) + " --threads 1"));
    expect_success(run("train_var", arguments + file("two" + dtype) + " --threads 2"));
    expect_same_weights(file("one" + dtype), file("two" + dtype));
  }
}

}  // namespace
}  // namespace terrace
