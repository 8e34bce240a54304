// What `make install` puts where, and that uninstall takes it away again. What it is good for: tools/check_install.
#include <algorithm>
#include <filesystem>

#include "data/files/atomic_file.h"
#include "tests/support.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

/// A tree of sources and a build, from which tools/install installs.
class Installing {
 public:
  Installing() {
    for (const char* folder : {"autograd", "data", "var", "metrics"}) { fs::create_directories(tree_ / folder); }
    write("build/bin/sample", "program");
    write("build/lib/libterrace.so", "library");
    write("build/lib/libterrace_cuda_host.so", "of the tests");
    write("nn/optim.h", "#include <vector>\n#include \"tensor/kernels/adamw.h\"\n");
    write("nn/optim.cpp", "");
    write("tensor/kernels/adamw.h", "#include \"tensor/kernels/columns.h\"\n");
    write("tensor/kernels/columns.h", "");
    write("tensor/kernels/internal.h", "");
  }
  CommandResult install(const std::string& prefix, const std::string& environment = "") const {
    return run(environment, "build '" + prefix + "' 1234 sample '-I/hdf5'");
  }
  CommandResult uninstall(const std::string& prefix, const std::string& environment = "") const {
    return run(environment, "--uninstall build '" + prefix + "'");
  }
  void write(const std::string& path, const std::string& text) const {
    fs::create_directories(fs::path(tree_ / path).parent_path());
    write_file(tree_ / path, text);
  }
  std::string operator/(const std::string& path) const { return tree_ / path; }

 private:
  CommandResult run(const std::string& environment, const std::string& arguments) const {
    return run_command("cd " + tree_.path() + " && " + environment + " " + (source_root() / "tools/install").string() +
                       " " + arguments);
  }
  TemporaryFolder tree_;
};

std::vector<std::string> files_below(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) { files.push_back(fs::relative(entry.path(), folder).string()); }
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST(Install, PutsProgramsLibrariesHeadersAndThePackageFile) {
  const Installing tree;
  const CommandResult result = tree.install(tree / "prefix");
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_EQ(result.output, "6 files in " + tree / "prefix" + "\n");
  EXPECT_EQ(
      files_below(tree / "prefix"),
      (std::vector<std::string>{"bin/sample", "include/terrace/nn/optim.h", "include/terrace/tensor/kernels/adamw.h",
                                "include/terrace/tensor/kernels/columns.h", "lib/libterrace.so",
                                "lib/pkgconfig/terrace.pc", "share/terrace/installed"}));
  EXPECT_EQ(fs::status(tree / "prefix/bin/sample").permissions(), fs::perms(0755));
  const std::string package = read_file(tree / "prefix/lib/pkgconfig/terrace.pc");
  for (const std::string& line : {"prefix=" + tree / "prefix", std::string("Version: 0+1234"),
                                  std::string("Cflags: -std=c++20 -I${includedir}/terrace -I/hdf5"),
                                  std::string("Libs: -L${libdir} -Wl,-rpath,${libdir} -lterrace")}) {
    EXPECT_NE(package.find(line + "\n"), std::string::npos) << line << "\nin\n" << package;
  }
}

TEST(Install, UninstallLeavesWhatIsNotTerraces) {
  const Installing tree;
  tree.write("stage/usr/bin/other", "");
  const std::string stage = "DESTDIR=" + tree / "stage";
  EXPECT_EQ(tree.install("/usr", stage).status, 0);
  EXPECT_EQ(tree.install("/usr", stage).status, 0);  // over what is there
  EXPECT_EQ(files_below(tree / "stage/usr").size(), 8U);
  EXPECT_NE(read_file(tree / "stage/usr/lib/pkgconfig/terrace.pc").find("prefix=/usr\n"), std::string::npos);
  const CommandResult removed = tree.uninstall("/usr/", stage);
  EXPECT_EQ(removed.output, "6 files removed from " + tree / "stage/usr" + "\n");
  EXPECT_EQ(files_below(tree / "stage"), std::vector<std::string>{"usr/bin/other"});
  EXPECT_FALSE(fs::exists(tree / "stage/usr/include"));
  const CommandResult again = tree.uninstall("/usr", stage);
  EXPECT_EQ(again.status, 1);
  EXPECT_EQ(again.output, "uninstall: " + tree / "stage/usr/share/terrace/installed" +
                              ": No such file or directory: no Terrace is installed there\n");
}

TEST(Install, RefusesAPrefixThatDependsOnTheFolder) {
  const Installing tree;
  const CommandResult result = tree.install("here");
  EXPECT_NE(result.status, 0);
  EXPECT_EQ(result.output, "install: PREFIX must be an absolute path, got 'here'\n");
}

}  // namespace
}  // namespace terrace
