#include "tests/reliability/sandbox.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "data/files/atomic_file.h"
#include "data/files/checksum.h"
#include "tensor/base/error.h"
#include "tensor/base/names.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

bool is_below(const std::string& name, const std::vector<std::string>& paths) {
  return std::any_of(paths.begin(), paths.end(), [&](const std::string& path) {
    return name == path || (name.starts_with(path) && name[path.size()] == '/');
  });
}

/// Of a .json file all but what no two runs share, seconds and the memory that the process held, and but lines with
/// `left_out`.
std::string comparable(const fs::path& path, const std::string& left_out) {
  const std::string bytes = read_file(path);
  if (path.extension() != ".json") { return bytes; }
  std::string kept;
  std::istringstream lines(bytes);
  for (std::string line; std::getline(lines, line);) {
    const auto has = [&](const std::string& word) { return line.find(word) != std::string::npos; };
    if (has("peak_resident_bytes") || has("seconds") || (!left_out.empty() && has(left_out))) { continue; }
    kept += line + "\n";
  }
  return kept;
}

/// With the times of the files, by which programs tell that a checkpoint is still the one that they began with.
void copy_with_times(const fs::path& from, const fs::path& to) {
  fs::create_directories(to.parent_path());
  fs::copy(from, to, fs::copy_options::recursive);
  if (fs::is_regular_file(from)) { return fs::last_write_time(to, fs::last_write_time(from)); }
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    if (entry.is_regular_file()) {
      fs::last_write_time(to / entry.path().lexically_relative(from), fs::last_write_time(entry.path()));
    }
  }
}

}  // namespace

void put_bytes(const fs::path& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) { throw IoError(cat("torture: cannot write ", path.string())); }
}

Snapshot snapshot(const fs::path& folder, const std::string& left_out) {
  Snapshot result;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) { continue; }
    const std::string bytes = comparable(entry.path(), left_out);
    result[entry.path().lexically_relative(folder).string()] = checksum(bytes.data(), bytes.size());
  }
  return result;
}

Snapshot part_of(const Snapshot& files, const std::vector<std::string>& paths) {
  Snapshot result;
  for (const auto& [name, sum] : files) {
    if (is_below(name, paths)) { result[name] = sum; }
  }
  return result;
}

std::string difference_of(const Snapshot& now, const Snapshot& expected) {
  for (const auto& [name, sum] : expected) {
    const auto found = now.find(name);
    if (found == now.end()) { return name + " is missing"; }
    if (found->second != sum) { return name + " differs"; }
  }
  const std::string extra = new_file(now, expected);
  return extra.empty() ? "" : extra + " is new";
}

std::string new_file(const Snapshot& now, const Snapshot& before, const std::vector<std::string>& allowed) {
  for (const auto& [name, sum] : now) {
    if (!before.contains(name) && !is_below(name, allowed)) { return name; }
  }
  return "";
}

std::string unfinished_file(const Snapshot& files) {
  for (const auto& [name, sum] : files) {
    if (name.find(".partial-") != std::string::npos || name.starts_with("tmp/")) { return name; }
  }
  return "";
}

Sandbox::Sandbox(fs::path folder, const fs::path& fixture, const std::vector<std::string>& needs)
    : folder_(std::move(folder)) {
  fs::remove_all(folder_);
  fs::create_directories(folder_ / "tmp");
  for (const std::string& name : needs) { copy_with_times(fixture / name, folder_ / name); }
}

Sandbox::~Sandbox() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void Sandbox::keep(const fs::path& place) const {
  std::error_code ignored;
  fs::remove_all(place, ignored);
  copy_with_times(folder_, place);
}

}  // namespace terrace
