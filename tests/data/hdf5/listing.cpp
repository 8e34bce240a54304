// Groups of many members, of which a part cannot be read.
#include <malloc.h>

#include <algorithm>

#include "data/files/atomic_file.h"
#include "data/hdf5/file.h"
#include "tests/support.h"

namespace terrace {
namespace {

/// More links than lie in an object header: they are in a heap over several blocks. Where the library met a damaged one
/// in the midst of a listing it freed what it had not filled yet.
TEST(Hdf5Listing, ManyMembersBehindADamagedBlockAreAnError) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  std::vector<std::string> expected;
  {
    Hdf5File file = Hdf5File::create(path);
    for (int64_t i = 0; i < 900; ++i) {
      expected.push_back(cat("a_parameter_with_a_long_name_", 1000 + i));
      file.write("model/" + expected.back(), Tensor::full({2}, static_cast<double>(i)));
      file.write_attr_int("/", cat("attribute_", 1000 + i), i);
    }
    file.commit();
  }
  const auto list = [&] {
    const Hdf5File file = Hdf5File::open(path);
    return file.list_datasets("model").size() + file.walk().size() + file.list_attrs("/").size();
  };
  EXPECT_EQ(Hdf5File::open(path).list("model"), expected) << "sorted";
  const std::vector<std::string> attributes = Hdf5File::open(path).list_attrs("/");
  EXPECT_TRUE(std::is_sorted(attributes.begin(), attributes.end()));
  const std::string bytes = read_file(path);
  int64_t refused = 0;
  mallopt(M_PERTURB, 0xa5);  // new memory holds no zeros, by which such a fault might go unnoticed
  for (size_t at = 8 << 10; at < bytes.size(); at += 16 << 10) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    write_file(path, changed);
    try {
      list();
    } catch (const IoError&) { ++refused; }
  }
  mallopt(M_PERTURB, 0);
  EXPECT_GT(refused, 3);
}

}  // namespace
}  // namespace terrace
