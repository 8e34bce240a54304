// Every kind of file that programs write and read back, and the runs that read it.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/reliability/attack.h"

namespace terrace {

/// A run that reads the file, and which of its results must be those of the unharmed file.
struct Reader {
  std::string command;
  std::vector<std::string> results;  // files and folders
  bool prints = false;               // standard output is a result, too
};

struct FileKind {
  std::string name;
  std::string file;                // in the fixture; the part between folder and ending may be *
  std::vector<std::string> needs;  // what the readers need of the fixture, the file's own folder among it
  std::vector<Reader> readers;
  bool checked = true;        // false: its format has no checksum, so that other values cannot be told
  std::string or_names = {};  // what a refusal may name in place of the file
  /// Results name the file by its SHA-256, which differs where a byte does that nothing reads.
  bool named_by_hash = false;
};

const std::vector<FileKind>& file_kinds();
/// The file's name below `folder`, with * replaced. Throws Error where there is none.
std::string file_of(const FileKind& kind, const std::filesystem::path& folder);

/// What the unharmed file gives.
struct Expected {
  Snapshot results, files;           // the results; all files afterwards
  std::vector<std::string> remarks;  // notes and warnings
  std::string printed;               // where that is a result
};
/// Runs each reader twice; what it gives must be the same. Throws Error.
std::vector<Expected> expected_of(const FileKind& kind, const Place& place);

/// Runs the reader in a sandbox in which the file was harmed, and says what came of it.
Verdict judge_reader(const FileKind& kind, const Reader& reader, const Expected& expected, const Sandbox& sandbox);

}  // namespace terrace
