#include "experiments/cli/inputs.h"

#include <sys/stat.h>

#include <filesystem>
#include <set>

#include "data/images/image_file.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

/// Device and inode of a file, or of a folder; nullopt where the other is there, or nothing.
std::optional<std::pair<uint64_t, uint64_t>> identity_of(const fs::path& path, bool folder = false) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || S_ISDIR(status.st_mode) != folder) { return std::nullopt; }
  return std::pair<uint64_t, uint64_t>(status.st_dev, status.st_ino);
}

/// Whether programs read such files of a folder that they are given.
bool is_read_in_folders(const fs::path& file) {
  return is_picture_name(file) || file.extension() == ".bin" || file.filename() == "run.json";
}

/// The files that a given path stands for; empty where there is none.
std::vector<fs::path> files_of(const std::string& given) {
  std::error_code ignored;
  fs::path path(given);
  if (fs::is_directory(path, ignored)) {
    if (fs::exists(path / "checkpoint.h5", ignored)) { return {path / "checkpoint.h5"}; }
    std::vector<fs::path> files;
    std::set<std::optional<std::pair<uint64_t, uint64_t>>> entered = {identity_of(path, true)};
    using Walk = fs::recursive_directory_iterator;
    const auto options =
        fs::directory_options::follow_directory_symlink | fs::directory_options::skip_permission_denied;
    for (Walk entry(path, options, ignored), end; !ignored && entry != end; entry.increment(ignored)) {
      if (is_read_in_folders(entry->path())) { files.push_back(entry->path()); }
      const bool is_folder = entry->is_directory(ignored);
      // A symbolic link may lead to a folder around it.
      if (is_folder && !entered.insert(identity_of(entry->path(), true)).second) { entry.disable_recursion_pending(); }
      ignored.clear();
    }
    return files;
  }
  while (!fs::exists(path, ignored) && path.has_parent_path() && path != path.parent_path()) {
    path = path.parent_path();
  }
  return {path};
}

}  // namespace

void InputFiles::find_files() const {
  files_.emplace();
  for (size_t i = 0; i < inputs_.size(); ++i) {
    if (inputs_[i].path.empty()) { continue; }
    for (const fs::path& file : files_of(inputs_[i].path)) {
      if (const auto identity = identity_of(file)) { files_->emplace(*identity, i); }
    }
  }
}

void InputFiles::refuse_output(const std::string& output, const std::string& way_out) const {
  const auto identity = output.empty() ? std::nullopt : identity_of(output);
  if (!identity) { return; }
  if (!files_) { find_files(); }
  const auto found = files_->find(*identity);
  if (found == files_->end()) { return; }
  const InputFile& input = inputs_[found->second];
  throw ConfigError(cat(output, " is a file that ", input.option, " reads (", input.path,
                        "); an input is never written over, with --overwrite neither: ", way_out));
}

}  // namespace terrace
