// What a program reads, by the options that name it: no program writes over it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace terrace {

/// A file or folder that an option names: {"--tokenizer", "runs/vqvae"}, or an argument by place: {"IN", "c.h5"}.
struct InputFile {
  std::string option, path;
};

/// The files that these inputs are, told apart by device and inode: another path, a symbolic link and a hard link are
/// the same file. A folder is the checkpoint.h5 in it, or where it has none all pictures, .bin files and records of
/// runs below it; a file that does not exist is the one on its path ("data.h5/test/12").
class InputFiles {
 public:
  explicit InputFiles(std::vector<InputFile> inputs) : inputs_(std::move(inputs)) {}

  /// Throws ConfigError where the file `output`, which would be written or removed, is an input. `way_out`: "give
  /// another folder with --out".
  void refuse_output(const std::string& output, const std::string& way_out) const;

 private:
  using Identity = std::pair<uint64_t, uint64_t>;  // device, inode
  void find_files() const;

  std::vector<InputFile> inputs_;
  mutable std::optional<std::map<Identity, size_t>> files_;  // where they are in inputs_; found when first asked
};

}  // namespace terrace
