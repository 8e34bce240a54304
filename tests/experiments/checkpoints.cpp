// docs/checkpoints.md lists what checkpoints hold, as datasets are listed in docs/datasets.md.
#include "data/files/atomic_file.h"
#include "data/hdf5/file.h"
#include "tests/experiments/programs.h"

namespace terrace {
namespace {

TEST_F(Programs, EveryDatasetAndAttributeOfACheckpointIsDocumented) {
  const std::string page = read_file((source_root() / "docs/checkpoints.md").string());
  const auto expect_listed = [&](const std::string& text, const std::string& path) {
    EXPECT_NE(page.find(text), std::string::npos) << path << ": docs/checkpoints.md lacks " << text;
  };
  for (const char* run : {"var/checkpoint.h5", "vqvae/checkpoint.h5"}) {
    const Hdf5File file = Hdf5File::open(Programs::file(run));
    for (const std::string& name : file.list_attrs("/")) { expect_listed("attribute `" + name + "`", run); }
    for (const std::string& name : file.walk()) {
      const std::string group = name.substr(0, name.find('/'));
      const bool of_parameters = group == "model" || group == "initial" || group == "average";
      const bool of_optimizer = group == "optimizer" && name.find('.') != std::string::npos;
      expect_listed(of_parameters  ? "`/" + group + "/N`"
                    : of_optimizer ? "`/" + name.substr(0, name.find('.')) + ".N`"
                                   : "`/" + name + "`",
                    run);
    }
  }
}

TEST_F(Programs, ThePagesReadersInPythonReadBothKindsOfCheckpoints) {
  if (run_command("python3 -c 'import h5py'").status != 0) { GTEST_SKIP() << "needs python3 with h5py"; }
  const std::string page = read_file((source_root() / "docs/checkpoints.md").string());
  const std::string opening = "```python\n", folder = "runs/";
  size_t at = 0;
  for (const char* expected : {"var mixed after 4 steps, 16 classes", "vqvae 16 codes after 3 steps"}) {
    at = page.find(opening, at);
    ASSERT_NE(at, std::string::npos) << expected;
    at += opening.size();
    std::string reader = page.substr(at, page.find("```", at) - at);
    const size_t path = reader.find(folder);
    ASSERT_NE(path, std::string::npos) << reader;
    reader.replace(path, folder.size(), file(""));
    write_file(file("reader.py"), reader);
    const CommandResult result = run_command("python3 " + file("reader.py"));
    expect_success(result);
    EXPECT_EQ(result.output.rfind(expected, 0), 0U) << result.output;
  }
}

}  // namespace
}  // namespace terrace
