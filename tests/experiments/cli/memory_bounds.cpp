#include "experiments/cli/memory_bounds.h"

#include <cmath>
#include <filesystem>

#include "data/files/atomic_file.h"
#include "tests/support.h"

namespace terrace {
namespace {

TEST(MemoryBounds, Format) {
  EXPECT_EQ(format_memory(3.14e12), "3.1 TB");
  EXPECT_EQ(format_memory(23e9), "23 GB");
  EXPECT_EQ(format_memory(999.6e6), "1.0 GB");
  EXPECT_EQ(format_memory(512), "512 B");
  EXPECT_EQ(format_memory(0), "0 B");
}

TEST(MemoryBounds, WhatIsNotThereIsRefusedWithTheOption) {
  check_memory(1e6, "--batch 1", "--batch");
  const double there = available_memory();
  ASSERT_GT(there, 0);
  expect_error<ConfigError>([] { check_memory(3.14e15, "--batch 1000000000", "--batch"); },
                            "--batch 1000000000 needs about 3.1 PB of memory, ");
  expect_error<ConfigError>([] { check_memory(3.14e15, "--batch 1000000000", "--batch"); },
                            " are there; a smaller --batch needs less");
}

class MemoryOfGroups : public testing::Test {
 protected:
  void set(const std::string& name, const std::string& text) {
    const std::filesystem::path path = std::filesystem::path(folder_.path()) / name;
    std::filesystem::create_directories(path.parent_path());
    write_file(path.string(), text);
  }
  TemporaryFolder folder_;
};

TEST_F(MemoryOfGroups, TheLeastOfAGroupAndThoseAroundIt) {
  set("a/memory.max", "1000000\n");
  set("a/memory.current", "600000\n");
  set("a/memory.stat", "anon 500000\nfile 100000\n");
  set("a/b/memory.max", "max\n");
  set("a/b/memory.current", "10\n");
  EXPECT_EQ(memory_left_in_groups("0::/a/b\n", folder_.path()), 500000);
  EXPECT_TRUE(std::isinf(memory_left_in_groups("0::/c\n", folder_.path())));
}

TEST_F(MemoryOfGroups, VersionOne) {
  set("memory/x/memory.limit_in_bytes", "2000\n");
  set("memory/x/memory.usage_in_bytes", "1500\n");
  set("memory/x/memory.stat", "cache 7\ntotal_cache 300\n");
  EXPECT_EQ(memory_left_in_groups("4:memory:/x\n3:cpu,cpuacct:/y\n", folder_.path()), 800);
}

}  // namespace
}  // namespace terrace
