// Mutated command lines and JSON configurations of every program, and what must hold of each.
//
// The grammar is each program's own --help: its options with the kinds of their values. A command line begins as one
// that works at toy size; then options are added with values of their kind or of none, doubled, left without a value,
// misspelt or left out, and a part of the options moves into a configuration file whose JSON is changed in its
// structure or in its bytes. The same seed gives the same command lines.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace terrace {

struct CommandLine {
  std::string program;
  std::vector<std::string> arguments;
  std::map<std::string, std::string> files;  // by name, to be written into the folder that it runs in
};

/// As a shell would take it, in one line.
std::string text_of(const CommandLine& line);

class CommandLines {
 public:
  /// `programs` is the folder of the programs. `inputs` has data.h5, vqvae/ and var/: a dataset, a run of train_vqvae
  /// and one of train_var at toy size.
  CommandLines(std::string programs, std::string inputs);

  /// Number `index` of the seed's.
  CommandLine make(uint64_t seed, uint64_t index) const;

 private:
  struct Option {
    std::string name, kind;  // of --help: "steps", "N"; kind "" for flags
  };
  std::vector<Option> options_of(const std::string& program, const std::string& command) const;

  std::string programs_, inputs_;
  std::vector<std::vector<std::string>> bases_;         // that work at toy size; the program first
  std::map<std::string, std::vector<Option>> options_;  // by program, and "prepare_data procedural"
};

/// What a run of the command line did.
struct CommandOutcome {
  int status = 0;     // the exit code; 128 + N after signal N
  bool hung = false;  // it did not end two seconds after SIGINT, sent after five, and was killed
  double seconds = 0;
  std::string errors;   // stderr
  std::string mistake;  // "" where all holds; else what does not
};

/// Runs it in `folder`, which is made and removed. Holds: the exit code is 0, 2 or 130 (or run_fixture's 1); after 2
/// stderr ends in the one line "PROGRAM: error: ...", after 0 it has none; nothing on stderr is a text of a library's
/// internals; it ends within five seconds or within two after SIGINT; nothing half-written stays (".partial-" files);
/// and what stays in a folder of its run is in the list of run.json there.
CommandOutcome run_command_line(const CommandLine& line, const std::string& programs, const std::string& folder);

/// The text of a library's internals in `text` ("basic_string", "[json.exception"), "" without any.
std::string internals_in(const std::string& text);

}  // namespace terrace
