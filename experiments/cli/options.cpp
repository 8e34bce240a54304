#include "experiments/cli/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "data/files/json.h"
#include "experiments/cli/core_sharing.h"
#include "experiments/cli/program.h"
#include "experiments/cli/quoted.h"
#include "experiments/cli/run_record.h"
#include "tensor/base/names.h"
#include "tensor/base/notes.h"
#include "tensor/random.h"

namespace terrace {
namespace {

constexpr size_t kHelpColumn = 30;
constexpr size_t kHelpWidth = 100;

std::string unknown(const std::string& what, const std::string& name, const std::vector<std::string>& known,
                    const std::string& prefix) {
  const std::string near = nearest_name(name, known);
  return cat("unknown ", what, " ", name.empty() ? "''" : "", prefix, excerpt(name),
             near.empty() ? "" : cat("; did you mean ", prefix, near, "?"));
}

std::string wrapped(const std::string& left, const std::string& text) {
  std::string out = "  " + left;
  if (left.size() + 4 > kHelpColumn) {
    out += "\n" + std::string(kHelpColumn, ' ');
  } else {
    out += std::string(kHelpColumn - 2 - left.size(), ' ');
  }
  size_t column = kHelpColumn;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (column > kHelpColumn && column + 1 + word.size() > kHelpWidth) {
      out += "\n" + std::string(kHelpColumn, ' ');
      column = kHelpColumn;
    }
    if (column > kHelpColumn) { out += ' ', ++column; }
    out += word;
    column += word.size();
  }
  return out + "\n";
}

std::string upper(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return c == '-' ? '_' : std::toupper(c); });
  return name;
}

}  // namespace

// --- CommonOptions --------------------------------------------------------------------------------------------------

Device CommonOptions::apply() const {
  begin_core_sharing(threads);
  default_generator() = Generator(seed);
  return device_from_name(device);
}

void CommonOptions::apply_on_cpu() const {
  if (!apply().is_cpu()) { throw ConfigError(cat("--device ", device, ": this program computes on the CPU alone")); }
}

// --- Options --------------------------------------------------------------------------------------------------------

Options::Options(std::string program, std::string purpose)
    : program_(std::move(program)), purpose_(std::move(purpose)) {}

Options::~Options() = default;

Options& Options::group(std::string heading) {
  heading_ = std::move(heading);
  return *this;
}

Option& Options::add(const std::string& name, OptionTarget target, const std::string& help) {
  options_.push_back(std::make_unique<Option>(name, target, help));
  options_.back()->group_ = heading_;
  return *options_.back();
}

Option& Options::add_common(CommonOptions& common, const std::string& out_help) {
  group("Common");
  Option& out = add("out", common.out, out_help).metavar("FOLDER");
  add("seed", common.seed, "seed of every random draw");
  add("threads", common.threads, "processor threads, at most; fewer while other processes use the cores")
      .range(0, 4096)
      .default_text("all cores");
  add("device", common.device,
      "where to compute: cpu, cuda, cuda:N, or cuda-host, which tests CUDA's kernels on the CPU")
      .metavar("NAME");
  return out;
}

Options& Options::command(const std::string& name, const std::string& purpose) {
  commands_.emplace_back(name, std::make_unique<Options>(cat(program_, " ", name), purpose));
  return *commands_.back().second;
}

Option* Options::find(const std::string& name) const {
  for (const auto& option : options_) {
    if (option->name_ == name) { return option.get(); }
  }
  const Options* sub = chosen_command();
  return sub != nullptr ? sub->find(name) : nullptr;
}

std::vector<std::string> Options::names() const {
  std::vector<std::string> all;
  for (const auto& option : options_) { all.push_back(option->name_); }
  if (const Options* sub = chosen_command()) {
    for (const std::string& name : sub->names()) { all.push_back(name); }
  }
  return all;
}

std::vector<std::string> Options::command_names() const {
  std::vector<std::string> all;
  for (const auto& [name, options] : commands_) { all.push_back(name); }
  return all;
}

Options* Options::chosen_command() const {
  for (const auto& [name, options] : commands_) {
    if (name == chosen_) { return options.get(); }
  }
  return nullptr;
}

bool Options::given(const std::string& name) const {
  const Option* option = find(name);
  if (option == nullptr) { throw ConfigError(unknown("option", name, names(), "--")); }
  return option->given_;
}

/// The arguments of the command line, before any is assigned: the values of --config are assigned first.
struct Options::ParsedArguments {
  std::vector<std::pair<Option*, std::string>> values;
  std::vector<std::pair<Option*, std::vector<std::string>>> lists;
  std::string config;
  bool help = false, version = false;
};

void Options::declare_to(CLI::App& app, ParsedArguments& arguments) const {
  app.set_help_flag();
  app.allow_extras();
  app.fallthrough();
  app.add_flag("--help,-h", arguments.help);
  for (const auto& entry : options_) {
    Option* option = entry.get();
    if (option->is_flag()) {
      app.add_flag_function(cat("--", option->name_, ",!--no-", option->name_),
                            [&arguments, option](int64_t count) {
                              arguments.values.emplace_back(option, count > 0 ? "true" : "false");
                            })
          ->disable_flag_override();
      continue;
    }
    const std::string names = cat(option->positional_ ? option->name_ + "," : "", "--", option->name_);
    if (option->takes_arguments()) {
      app.add_option_function<std::vector<std::string>>(
          names,
          [&arguments, option](const std::vector<std::string>& all) { arguments.lists.emplace_back(option, all); });
      continue;
    }
    app.add_option_function<std::string>(
           names, [&arguments, option](const std::string& text) { arguments.values.emplace_back(option, text); })
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
        ->type_name(option->type_name());
  }
}

std::vector<std::string> Options::read_arguments(int argc, const char* const* argv, ParsedArguments& arguments) {
  CLI::App app(purpose_, program_);
  declare_to(app, arguments);
  app.add_option("--config", arguments.config);
  app.add_flag("--version", arguments.version);
  std::vector<CLI::App*> subcommands;
  for (const auto& [name, options] : commands_) {
    subcommands.push_back(app.add_subcommand(name, options->purpose_));
    options->declare_to(*subcommands.back(), arguments);
  }
  app.require_subcommand(0, commands_.empty() ? 0 : 1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // The parser itself refuses two mistakes: a value that is missing, of an option that its text begins with
    // ("--steps: ..."), and one that a flag does not take ("resume was given ...").
    const std::string text = error.what(), name = text.substr(0, text.find_first_of(": "));
    const bool is_option = name.starts_with("--");
    throw ConfigError(cat(is_option ? "" : "--", name, is_option ? " needs a value" : " takes no value", " (", program_,
                          " --help lists the options)"));
  }
  for (size_t i = 0; i < subcommands.size(); ++i) {
    if (subcommands[i]->parsed()) { chosen_ = commands_[i].first; }
  }
  return app.remaining(true);
}

void Options::refuse(const std::vector<std::string>& extras) const {
  // What follows a wrong command may be right for the one that was meant.
  if (!commands_.empty() && chosen_.empty() && !extras[0].starts_with('-')) {
    const std::vector<std::string> known = command_names();
    throw ConfigError(cat(unknown("command", extras[0], known, ""), " (commands: ", join_names(known, ","), ")"));
  }
  const auto dashed = std::find_if(extras.begin(), extras.end(), [](const std::string& text) {
    return text.starts_with('-') && text.find_first_not_of('-') != std::string::npos;
  });
  if (dashed != extras.end()) {
    const std::string name = dashed->substr(dashed->find_first_not_of('-'));
    if (find(name.substr(0, name.find('='))) != nullptr) {
      throw ConfigError(cat("unexpected argument ", quoted(*dashed), ": behind -- there are no options"));
    }
    throw ConfigError(unknown("option", name.substr(0, name.find('=')), names(), "--"));
  }
  throw ConfigError(cat("unexpected argument ", quoted(extras[0]), " (", program_, " --help lists the options)"));
}

void Options::assign(Option& option, const std::string& text) const {
  try {
    option.assign_text(text, "--" + option.name_);
  } catch (const ConfigError& error) {
    if (text.find(',') == std::string::npos) { throw; }
    for (const char* plural : {"s", "es"}) {
      const Option* list = find(option.name_ + plural);
      if (list != nullptr && list->is_list()) {
        throw ConfigError(cat(error.what(), "; did you mean --", list->name_, ", which takes several?"));
      }
    }
    throw;
  }
}

void Options::parse(int argc, const char* const* argv) {
  ParsedArguments arguments;
  const std::vector<std::string> extras = read_arguments(argc, argv, arguments);
  if (arguments.help) {
    const Options* sub = chosen_command();
    std::cout << (sub != nullptr ? sub->help() : help());
    throw EarlyExit{0};
  }
  if (arguments.version) {
    std::cout << program_ << " (Terrace) " << version() << "\n";
    throw EarlyExit{0};
  }
  if (!extras.empty()) { refuse(extras); }
  config_ = arguments.config;
  if (!arguments.config.empty()) {
    check_text(arguments.config, "--config");
    Json object = read_json_file(arguments.config);
    // A run.json holds its configuration under that key: a run can be repeated from its record.
    if (object.is_object() && object.contains("program") && object.contains("configuration")) {
      if (take_checksum(object) == JsonCheck::kDiffers) {
        note(cat(arguments.config,
                 " was edited or is damaged: its checksum differs; its options are taken as they are"));
      }
      object = Json(object["configuration"]);
    }
    load_json(object, arguments.config);
  }
  std::stable_partition(arguments.values.begin(), arguments.values.end(),
                        [](const auto& value) { return value.first->is_preset(); });
  for (const auto& [option, text] : arguments.values) { assign(*option, text); }
  for (const auto& [option, all] : arguments.lists) { option->assign_json(Json(all), "--" + option->name_); }
  check_required();
}

void Options::check_required() const {
  if (!commands_.empty() && chosen_.empty()) {
    throw ConfigError(cat("a command is needed: ", join_names(command_names(), ",")));
  }
  for (const auto& option : options_) {
    if (option->required_ && !option->given_) {
      throw ConfigError(cat(option->positional_ ? upper(option->name_) : "--" + option->name_,
                            " is missing: ", option->help_, " (", program_, " --help lists the options)"));
    }
  }
  if (const Options* sub = chosen_command()) { sub->check_required(); }
}

void Options::load_json(const Json& object, const std::string& where) {
  if (!object.is_object()) {
    throw ConfigError(cat(where, ": expected an object of options, got ", object.type_name()));
  }
  if (!commands_.empty() && object.contains("command")) {
    const Json& name = object["command"];
    if (!name.is_string()) { throw ConfigError(cat(where, ": key 'command' must be text, got ", json_text(name))); }
    if (chosen_.empty()) { chosen_ = name.get<std::string>(); }
    if (chosen_command() == nullptr || chosen_ != name.get<std::string>()) {
      throw ConfigError(cat(where, ": key 'command' is '", name.get<std::string>(), "', which is not ",
                            chosen_command() == nullptr ? "a command" : "the command given"));
    }
  }
  std::vector<std::pair<Option*, std::string>> keys;
  for (const auto& [key, value] : object.items()) {
    if (key == "command" && !commands_.empty()) { continue; }
    std::string name = key;
    std::replace(name.begin(), name.end(), '_', '-');
    Option* option = find(name);
    if (option == nullptr) { throw ConfigError(cat(where, ": ", unknown("key", name, names(), ""))); }
    keys.emplace_back(option, key);
  }
  std::stable_partition(keys.begin(), keys.end(), [](const auto& entry) { return entry.first->is_preset(); });
  for (const auto& [option, key] : keys) { option->assign_json(object.at(key), cat(where, ": key '", key, "'")); }
}

std::vector<InputFile> Options::inputs() const {
  std::vector<InputFile> files;
  if (!config_.empty()) { files.push_back({"--config", config_}); }
  for (const auto& option : options_) {
    if (!option->input_) { continue; }
    const std::string name = option->positional_ ? upper(option->name_) : "--" + option->name_;
    if (const auto* text = std::get_if<std::string*>(&option->target_)) { files.push_back({name, **text}); }
    const auto* list = std::get_if<std::vector<std::string>*>(&option->target_);
    for (const std::string& text : list != nullptr ? **list : std::vector<std::string>()) {
      files.push_back({name, text});
    }
  }
  if (const Options* sub = chosen_command()) {
    for (InputFile& file : sub->inputs()) { files.push_back(std::move(file)); }
  }
  return files;
}

Json Options::to_json() const {
  Json object = Json::object();
  if (!chosen_.empty()) { object["command"] = chosen_; }
  for (const auto& option : options_) {
    if (option->recorded_) { object[option->name_] = option->json(); }
  }
  if (const Options* sub = chosen_command()) { object.update(sub->to_json()); }
  return object;
}

std::string Options::help() const {
  std::string usage, text;
  for (const auto& option : options_) {
    if (!option->positional_) { continue; }
    const std::string name = upper(option->name_) + (option->takes_arguments() ? "..." : "");
    usage += option->required_ ? " " + name : " [" + name + "]";
  }
  text = cat(program_, ": ", purpose_, "\n\nusage: ", program_, commands_.empty() ? "" : " COMMAND", " [OPTIONS]",
             usage, "\n");
  if (!commands_.empty()) {
    text += "\nCommands (COMMAND --help lists the options of each)\n";
    for (const auto& [name, options] : commands_) { text += wrapped(name, options->purpose_); }
  }
  std::string heading;
  for (const auto& option : options_) {
    if (option->group_ != heading || option == options_.front()) {
      heading = option->group_;
      text += cat("\n", heading.empty() ? "Options" : heading, "\n");
    }
    std::string about = option->help_;
    if (!option->choices_.empty()) { about += cat(" (", join_names(option->choices_, ","), ")"); }
    if (option->required_) {
      about += " [required]";
    } else if (option->is_flag()) {
      about += option->default_ == "on" ? cat(" [on; --no-", option->name_, " turns it off]") : " [off]";
    } else if (!option->default_.empty()) {
      about += cat(" [", option->default_, "]");
    }
    const std::string left = option->positional_ ? cat(upper(option->name_), " or --", option->name_)
                                                 : cat("--", option->name_, " ", option->type_name());
    text += wrapped(left, about);
  }
  text += "\nAlso\n";
  text += wrapped("--config FILE.json",
                  "take options from a JSON object of their names (or from a run.json); the command line overrides it");
  text += wrapped("--help, --version", "print this page, or the version, and end");
  for (const auto& [title, rows] : tables_) {
    text += cat("\n", title, "\n");
    for (const auto& [left, about] : rows) { text += wrapped(left, about); }
  }
  if (!epilog_.empty()) { text += cat("\n", epilog_, epilog_.back() == '\n' ? "" : "\n"); }
  return text;
}

}  // namespace terrace
