#include "data/files/atomic_file.h"
#include "data/hdf5/remote.h"
#include "tensor/base/error.h"
#include "tensor/device/interruption.h"
#include "tests/support.h"

namespace terrace {
namespace {

/// While it lives every place that may end this thread's work does.
struct Interruption {
  Interruption() {
    set_interruption_check([] { throw Interrupted("interrupted"); });
  }
  ~Interruption() { set_interruption_check(nullptr); }
};

TEST(RemoteHdf5, AReadEndsWhereTheUserEndsTheProgram) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  write_file(path, read_file((source_root() / "tests/data/hdf5/old_dataset.h5").string()));
  hdf5::RemoteReader reader(path);
  const std::vector<std::string> names = reader.list("/");
  const auto list_often = [&] {
    const Interruption interruption;
    for (int i = 0; i < 1000; ++i) { reader.list("/"); }  // a reply that is there at once is not waited for
  };
  EXPECT_THROW(list_often(), Interrupted);
  EXPECT_EQ(reader.list("/"), names) << "the rest of the reply went with its process";
}

}  // namespace
}  // namespace terrace
