// The folder in which one try happens, and what is in a folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace terrace {

/// Regular files below a folder by their relative names, and a checksum of each: of a .json file without the lines that
/// no two runs share, and without those that hold `left_out`, where that is given.
using Snapshot = std::map<std::string, uint64_t>;
Snapshot snapshot(const std::filesystem::path& folder, const std::string& left_out = "");
/// Those files that are one of `paths` or lie in one of these folders.
Snapshot part_of(const Snapshot& files, const std::vector<std::string>& paths);
/// The first difference as a clause, "" where there is none: "out/grid.png differs", "a.h5 is missing", "b.h5 is new".
std::string difference_of(const Snapshot& now, const Snapshot& expected);
/// The first file of `now` that was not there before, but for files of `allowed` paths; "" where there is none.
std::string new_file(const Snapshot& now, const Snapshot& before, const std::vector<std::string>& allowed = {});
/// The first file whose name tells that it was being written: "out/a.h5.partial-12-1"; "" where there is none.
std::string unfinished_file(const Snapshot& files);

/// A folder with copies of some of the fixture's files and folders, removed with the object. Beside the copies it has a
/// folder tmp, which is TMPDIR of the programs that run in it.
class Sandbox {
 public:
  Sandbox(std::filesystem::path folder, const std::filesystem::path& fixture, const std::vector<std::string>& needs);
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }
  bool has(const std::string& name) const { return std::filesystem::exists(folder_ / name); }
  /// Copies all of it to another place, for who looks into a failure.
  void keep(const std::filesystem::path& place) const;

 private:
  std::filesystem::path folder_;
};

/// A file of these bytes, which is not flushed to the disk as by write_file: for thousands of files.
void put_bytes(const std::filesystem::path& path, const std::string& bytes);

}  // namespace terrace
