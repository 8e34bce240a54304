// Options: every program declares its options once, bound to the variables that receive them.
//
//   CommonOptions common;
//   int64_t steps = 1000;
//   Options options("train_var", "Trains a VAR transformer on a token cache.");
//   options.group("Training");
//   options.add("steps", steps, "optimizer steps").range(1, 1e9);
//   options.add_common(common);
//   options.parse(argc, argv);            // --help, --config FILE.json, --steps 500
//
// From the one declaration come the help page (with the variable's value at declaration as default), the keys of the
// configuration file and the record of what was in effect. Precedence: default, then --config, then the command line;
// of each of the two, options that are presets come first.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "data/files/json.h"
#include "experiments/cli/inputs.h"
#include "tensor/device/device.h"

namespace CLI {
class App;
}

namespace terrace {

/// Where an option's value goes. Lists are given as 1,2,3 on the command line and as arrays in JSON.
using OptionTarget =
    std::variant<bool*, int*, int64_t*, uint64_t*, float*, double*, std::string*, std::vector<int64_t>*,
                 std::vector<uint64_t>*, std::vector<double>*, std::vector<std::string>*>;

/// Throws ConfigError where the text is longer than a path may be, holds a NUL byte, which ends a text for the system,
/// or is no UTF-8, which run.json is. `where` names the option.
void check_text(const std::string& text, const std::string& where);

/// One declared option; the setters refine it and return it.
class Option {
 public:
  Option(std::string name, OptionTarget target, std::string help);

  Option& range(double low, double high);  // inclusive; of every element of a list
  Option& at_least(double low);
  Option& positive();  // > 0
  /// Every unit takes at least so many bytes of memory: a number for which less is there is refused, with the figure.
  Option& needs_each(double bytes);
  Option& choices(std::vector<std::string> names);  // of a string or of every element of a list
  Option& required();                               // has no default: must be given
  Option& positional();                             // given by place, without --name; still a key of --config. A
                                                    // list of texts takes all that is given by place, one by one
  Option& default_text(std::string text);           // shown in --help in place of the default value
  Option& metavar(std::string placeholder);         // of the value in --help, in place of its type: FILE, FOLDER, NAME
  Option& unrecorded();  // is no part of to_json(): it is of one call, not of what is computed
  Option& endings(std::vector<std::string> allowed);  // of the file that a text names, in lower case: ".h5"
  Option& input();                                    // the text names a file or folder that the program reads
  /// The text names a whole set of values: `apply` writes them into the targets of other options, and what is given of
  /// these beside it stands.
  Option& preset(std::function<void(const std::string& name)> apply);

 private:
  friend class Options;
  void assign_text(const std::string& text, const std::string& where);
  void assign_json(const Json& value, const std::string& where);
  void accept(const std::string& where);
  void check(const std::string& where) const;
  Json json() const;
  std::string default_string() const;
  std::string type_name() const;
  bool is_flag() const { return std::holds_alternative<bool*>(target_); }
  bool is_preset() const { return preset_ != nullptr; }
  bool is_list() const { return type_name().ends_with(",.."); }
  bool takes_arguments() const { return positional_ && std::holds_alternative<std::vector<std::string>*>(target_); }

  std::string name_;
  OptionTarget target_;
  std::string help_;
  std::string group_;
  std::string default_, metavar_;
  double low_ = -std::numeric_limits<double>::infinity();
  double high_ = std::numeric_limits<double>::infinity();
  double bytes_each_ = 0;
  bool open_low_ = false;
  bool may_not_be_empty_ = false;  // a text whose default is a name: an empty one is no way to leave it out
  std::vector<std::string> choices_, endings_;
  std::function<void(const std::string&)> preset_;
  bool required_ = false;
  bool positional_ = false;
  bool recorded_ = true;
  bool input_ = false;
  bool given_ = false;
};

/// The most that an option --minutes takes: a year.
inline constexpr double kMaxMinutes = 365 * 24 * 60;

/// What every program takes.
struct CommonOptions {
  uint64_t seed = 0;
  int threads = 0;             // 0: all cores
  std::string device = "cpu";  // as device_from_name takes it
  std::string out;

  /// Sets the thread count, seeds the default generator, and resolves the device (DeviceError where it is not here).
  Device apply() const;
  /// The same for a program that computes on the CPU alone: ConfigError where another device is asked for.
  void apply_on_cpu() const;
};

class Options {
 public:
  /// `purpose` is the sentence under the program's name in --help.
  Options(std::string program, std::string purpose);
  ~Options();
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;

  /// Options added from here on are listed under this heading.
  Options& group(std::string heading);

  /// Declares --name; the target's present value is the default. The target must outlive the Options.
  Option& add(const std::string& name, OptionTarget target, const std::string& help);

  /// The same with a reference: add("steps", config.steps, "...").
  template <class T>
  Option& add(const std::string& name, T& target, const std::string& help) {
    return add(name, OptionTarget(&target), help);
  }

  /// --seed --threads --device --out. `out_help` says what the program writes there; an empty default makes it
  /// optional. Returns --out.
  Option& add_common(CommonOptions& common, const std::string& out_help = "folder for results");

  /// A subcommand with its own options: prepare_data cifar100 ... With subcommands, exactly one must be given.
  Options& command(const std::string& name, const std::string& purpose);

  /// The subcommand that was given, "" without any.
  const std::string& chosen() const { return chosen_; }

  /// Words and what they say, shown behind the options under a heading of their own.
  void table(std::string heading, std::vector<std::pair<std::string, std::string>> rows) {
    tables_.emplace_back(std::move(heading), std::move(rows));
  }

  /// Lines shown at the end of --help (examples).
  void epilog(std::string text) { epilog_ = std::move(text); }

  /// Reads the command line into the targets. Throws ConfigError naming the option: unknown (with the nearest known
  /// name), of the wrong type, out of range, missing; IoError where the --config file cannot be read. --help and
  /// --version print and throw EarlyExit (program.h).
  void parse(int argc, const char* const* argv);

  /// The configuration in effect, as a --config file would give it (subcommand options under "command" and its own
  /// keys).
  Json to_json() const;

  /// Takes values from a JSON object as from a --config file; `where` names it in errors.
  void load_json(const Json& object, const std::string& where);

  /// What the options that are input() name, and the file of --config: what is not written over.
  std::vector<InputFile> inputs() const;

  /// Whether the command line or the configuration file gave this option.
  bool given(const std::string& name) const;

  std::string help() const;

 private:
  Option* find(const std::string& name) const;
  std::vector<std::string> names() const;
  std::vector<std::string> command_names() const;
  Options* chosen_command() const;

  struct ParsedArguments;
  /// Declares the options to the parser, which keeps what is given in `arguments`.
  void declare_to(CLI::App& app, ParsedArguments& arguments) const;
  /// Chooses the command; returns the arguments that no option takes.
  std::vector<std::string> read_arguments(int argc, const char* const* argv, ParsedArguments& arguments);
  /// Throws the ConfigError about arguments that no option takes.
  /// Throws ConfigError, with the option that takes a list where a list was given to the one of its singular.
  void assign(Option& option, const std::string& text) const;
  [[noreturn]] void refuse(const std::vector<std::string>& extras) const;
  void check_required() const;

  std::string program_, purpose_, epilog_, heading_, chosen_, config_;
  std::vector<std::unique_ptr<Option>> options_;
  std::vector<std::pair<std::string, std::vector<std::pair<std::string, std::string>>>> tables_;
  std::vector<std::pair<std::string, std::unique_ptr<Options>>> commands_;
};

}  // namespace terrace
