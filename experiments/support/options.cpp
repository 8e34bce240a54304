#include "experiments/support/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <iostream>
#include <numeric>
#include <type_traits>

#include "experiments/support/program.h"
#include "experiments/support/run_record.h"
#include "tensor/random.h"

namespace terrace {
namespace {

constexpr size_t kHelpColumn = 30;
constexpr size_t kHelpWidth = 100;

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

template <class T>
const char* noun_of() {
  if constexpr (std::is_same_v<T, bool>) return "true or false";
  if constexpr (std::is_unsigned_v<T>) return "a whole number from 0";
  if constexpr (std::is_integral_v<T>) return "a whole number";
  if constexpr (std::is_floating_point_v<T>) return "a number";
  return "text";
}

template <class T>
[[noreturn]] void refuse(const std::string& where, const std::string& got) {
  throw ConfigError(cat(where, " must be ", noun_of<T>(), ", got ", got));
}

template <class T>
T number_from_text(const std::string& text, const std::string& where) {
  T value{};
  const char* begin = text.data();
  const char* end = begin + text.size();
  if (text.size() > 1 && *begin == '+') ++begin;
  const auto [rest, error] = std::from_chars(begin, end, value);
  if (error == std::errc::result_out_of_range) throw ConfigError(cat(where, ": ", text, " is too large"));
  if (error != std::errc() || rest != end || text.empty()) {
    // 1e6 is a whole number too.
    if constexpr (std::is_integral_v<T>) {
      double wide = 0;
      const auto [stop, failure] = std::from_chars(begin, end, wide);
      if (failure == std::errc() && stop == end && wide == std::floor(wide) && std::fabs(wide) < 9e15 &&
          (wide >= 0 || std::is_signed_v<T>)) {
        return static_cast<T>(wide);
      }
    }
    refuse<T>(where, cat("'", text, "'"));
  }
  return value;
}

template <class T>
T from_text(const std::string& text, const std::string& where) {
  if constexpr (std::is_same_v<T, bool>) {
    if (text == "true" || text == "1" || text == "on") return true;
    if (text == "false" || text == "0" || text == "off") return false;
    refuse<T>(where, cat("'", text, "'"));
  } else if constexpr (std::is_same_v<T, std::string>) {
    return text;
  } else if constexpr (IsVector<T>::value) {
    T values;
    size_t begin = 0;
    while (!text.empty() && begin <= text.size()) {
      const size_t comma = std::min(text.find(',', begin), text.size());
      values.push_back(from_text<typename T::value_type>(text.substr(begin, comma - begin), where));
      begin = comma + 1;
    }
    return values;
  } else {
    return number_from_text<T>(text, where);
  }
}

template <class T>
T from_json(const Json& value, const std::string& where) {
  if constexpr (IsVector<T>::value) {
    if (!value.is_array()) throw ConfigError(cat(where, " must be an array, got ", value.dump()));
    T values;
    for (const Json& item : value) values.push_back(from_json<typename T::value_type>(item, where));
    return values;
  } else {
    bool fits = value.is_number();
    if constexpr (std::is_same_v<T, bool>) fits = value.is_boolean();
    if constexpr (std::is_same_v<T, std::string>) fits = value.is_string();
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      fits = std::is_unsigned_v<T> ? value.is_number_unsigned() : value.is_number_integer();
    }
    if (!fits) refuse<T>(where, value.dump());
    return value.get<T>();
  }
}

template <class T>
std::string text_of(const T& value) {
  if constexpr (IsVector<T>::value) {
    std::string joined;
    for (const auto& item : value) joined += (joined.empty() ? "" : ",") + text_of(item);
    return joined;
  } else if constexpr (std::is_same_v<T, std::string>) {
    return value;
  } else if constexpr (std::is_same_v<T, bool>) {
    return value ? "on" : "off";
  } else {
    char buffer[40];
    return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
  }
}

template <class T, class F>
void for_each_value(const T& value, const F& f) {
  if constexpr (IsVector<T>::value) {
    for (const auto& item : value) f(item);
  } else {
    f(value);
  }
}

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0]++;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row.back();
}

std::string unknown(const std::string& what, const std::string& name, const std::vector<std::string>& known,
                    const std::string& prefix) {
  const std::string near = nearest_name(name, known);
  return cat("unknown ", what, " ", prefix, name, near.empty() ? "" : cat("; did you mean ", prefix, near, "?"));
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
    if (column > kHelpColumn) out += ' ', ++column;
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

std::string nearest_name(const std::string& name, const std::vector<std::string>& known) {
  std::string best;
  size_t least = std::max<size_t>(2, name.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const bool extends = name.size() >= 3 && candidate.rfind(name, 0) == 0;
    const size_t distance = extends ? 1 : edit_distance(name, candidate);
    if (distance < least) least = distance, best = candidate;
  }
  return best;
}

// --- Option ---------------------------------------------------------------------------------------------------------

Option::Option(std::string name, OptionTarget target, std::string help)
    : name_(std::move(name)), target_(target), help_(std::move(help)) {
  default_ = default_string();
}

Option& Option::range(double low, double high) {
  low_ = low;
  high_ = high;
  return *this;
}

Option& Option::positive() {
  low_ = 0;
  open_low_ = true;
  return *this;
}

Option& Option::choices(std::vector<std::string> names) {
  choices_ = std::move(names);
  return *this;
}

Option& Option::required() {
  required_ = true;
  return *this;
}

Option& Option::positional() {
  positional_ = true;
  return *this;
}

Option& Option::default_text(std::string text) {
  default_ = std::move(text);
  return *this;
}

void Option::assign_text(const std::string& text, const std::string& where) {
  std::visit([&](auto* p) { *p = from_text<std::decay_t<decltype(*p)>>(text, where); }, target_);
  check(where);
  given_ = true;
}

void Option::assign_json(const Json& value, const std::string& where) {
  std::visit([&](auto* p) { *p = from_json<std::decay_t<decltype(*p)>>(value, where); }, target_);
  check(where);
  given_ = true;
}

void Option::check(const std::string& where) const {
  const auto check_value = [&](const auto& value) {
    using T = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<T, std::string>) {
      if (choices_.empty() || std::find(choices_.begin(), choices_.end(), value) != choices_.end()) return;
      throw ConfigError(cat(where, " must be one of ", text_of(choices_), ", got '", value, "'"));
    } else if constexpr (!std::is_same_v<T, bool>) {
      const double x = static_cast<double>(value);
      if (std::isnan(x)) throw ConfigError(cat(where, " must be a number, got nan"));
      if (open_low_ && !(x > low_)) throw ConfigError(cat(where, " must be above ", low_, ", got ", value));
      if (x < low_) throw ConfigError(cat(where, " must be at least ", low_, ", got ", value));
      if (x > high_) throw ConfigError(cat(where, " must be at most ", high_, ", got ", value));
    }
  };
  std::visit([&](auto* p) { for_each_value(*p, check_value); }, target_);
}

Json Option::json() const {
  return std::visit([](auto* p) { return Json(*p); }, target_);
}

std::string Option::default_string() const {
  return std::visit([](auto* p) { return text_of(*p); }, target_);
}

std::string Option::type_name() const {
  return std::visit(
      [](auto* p) -> std::string {
        using T = std::decay_t<decltype(*p)>;
        if constexpr (std::is_same_v<T, bool>) return "";
        if constexpr (std::is_same_v<T, std::string>) return "TEXT";
        if constexpr (std::is_same_v<T, std::vector<std::string>>) return "A,B,..";
        if constexpr (IsVector<T>::value) return "N,N,..";
        if constexpr (std::is_floating_point_v<T>) return "X";
        return "N";
      },
      target_);
}

// --- CommonOptions --------------------------------------------------------------------------------------------------

Device CommonOptions::apply() const {
  set_threads(threads);
  default_generator() = Generator(seed);
  return device_from_name(device);
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

void Options::add_common(CommonOptions& common, const std::string& out_help) {
  group("Common");
  add("out", common.out, out_help);
  add("seed", common.seed, "seed of every random draw");
  add("threads", common.threads, "processor threads").range(0, 4096).default_text("all cores");
  add("device", common.device, "where to compute").choices({"cpu", "cuda"});
}

Options& Options::command(const std::string& name, const std::string& purpose) {
  commands_.emplace_back(name, std::make_unique<Options>(cat(program_, " ", name), purpose));
  return *commands_.back().second;
}

Option* Options::find(const std::string& name) const {
  for (const auto& option : options_) {
    if (option->name_ == name) return option.get();
  }
  const Options* sub = chosen_command();
  return sub != nullptr ? sub->find(name) : nullptr;
}

std::vector<std::string> Options::names() const {
  std::vector<std::string> all;
  for (const auto& option : options_) all.push_back(option->name_);
  if (const Options* sub = chosen_command()) {
    for (const std::string& name : sub->names()) all.push_back(name);
  }
  return all;
}

Options* Options::chosen_command() const {
  for (const auto& [name, options] : commands_) {
    if (name == chosen_) return options.get();
  }
  return nullptr;
}

bool Options::given(const std::string& name) const {
  const Option* option = find(name);
  if (option == nullptr) throw ConfigError(unknown("option", name, names(), "--"));
  return option->given_;
}

namespace {

/// What the command line said, before anything is assigned: --config must come first.
struct Spoken {
  std::vector<std::pair<Option*, std::string>> values;
  std::string config;
  bool help = false, version = false;
};

}  // namespace

void Options::parse(int argc, const char* const* argv) {
  Spoken spoken;
  CLI::App app(purpose_, program_);
  const auto declare = [&spoken](CLI::App& to, const Options& from) {
    to.set_help_flag();
    to.allow_extras();
    to.fallthrough();
    to.add_flag("--help,-h", spoken.help);
    for (const auto& entry : from.options_) {
      Option* option = entry.get();
      if (option->is_flag()) {
        to.add_flag_function(cat("--", option->name_, ",!--no-", option->name_), [&spoken, option](int64_t count) {
          spoken.values.emplace_back(option, count > 0 ? "true" : "false");
        });
        continue;
      }
      const std::string names = cat(option->positional_ ? option->name_ + "," : "", "--", option->name_);
      to.add_option_function<std::string>(
            names, [&spoken, option](const std::string& text) { spoken.values.emplace_back(option, text); })
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
          ->type_name(option->type_name());
    }
  };
  declare(app, *this);
  app.add_option("--config", spoken.config);
  app.add_flag("--version", spoken.version);
  std::vector<CLI::App*> subcommands;
  for (const auto& [name, options] : commands_) {
    subcommands.push_back(app.add_subcommand(name, options->purpose_));
    declare(*subcommands.back(), *options);
  }
  app.require_subcommand(0, commands_.empty() ? 0 : 1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::string text = error.what();
    std::replace(text.begin(), text.end(), '\n', ' ');
    throw ConfigError(cat(text, " (", program_, " --help lists the options)"));
  }
  for (size_t i = 0; i < subcommands.size(); ++i) {
    if (subcommands[i]->parsed()) chosen_ = commands_[i].first;
  }
  if (spoken.help) {
    const Options* sub = chosen_command();
    std::cout << (sub != nullptr ? sub->help() : help());
    throw EarlyExit{0};
  }
  if (spoken.version) {
    std::cout << program_ << " (Terrace) " << version() << "\n";
    throw EarlyExit{0};
  }
  std::vector<std::string> extras = app.remaining(true);
  if (!extras.empty()) {
    const auto dashed = std::find_if(extras.begin(), extras.end(),
                                     [](const std::string& text) { return text.size() > 1 && text[0] == '-'; });
    if (dashed == extras.end()) {
      if (!commands_.empty() && chosen_.empty()) {
        std::vector<std::string> known;
        for (const auto& [name, options] : commands_) known.push_back(name);
        throw ConfigError(cat(unknown("command", extras[0], known, ""), " (commands: ", text_of(known), ")"));
      }
      throw ConfigError(cat("unexpected argument '", extras[0], "' (", program_, " --help lists the options)"));
    }
    const std::string name = dashed->substr(dashed->find_first_not_of('-'));
    throw ConfigError(unknown("option", name.substr(0, name.find('=')), names(), "--"));
  }
  if (!spoken.config.empty()) {
    Json object = read_json_file(spoken.config);
    // A run.json holds its configuration under that key: a run can be repeated from its record.
    if (object.is_object() && object.contains("program") && object.contains("configuration")) {
      object = Json(object["configuration"]);
    }
    load_json(object, spoken.config);
  }
  for (const auto& [option, text] : spoken.values) option->assign_text(text, "--" + option->name_);
  check_required();
}

void Options::check_required() const {
  if (!commands_.empty() && chosen_.empty()) {
    std::vector<std::string> known;
    for (const auto& [name, options] : commands_) known.push_back(name);
    throw ConfigError(cat("a command is needed: ", text_of(known)));
  }
  for (const auto& option : options_) {
    if (option->required_ && !option->given_) {
      throw ConfigError(cat(option->positional_ ? upper(option->name_) : "--" + option->name_,
                            " is missing: ", option->help_, " (", program_, " --help lists the options)"));
    }
  }
  if (const Options* sub = chosen_command()) sub->check_required();
}

void Options::load_json(const Json& object, const std::string& where) {
  if (!object.is_object()) throw ConfigError(cat(where, ": expected an object of options, got ", object.type_name()));
  if (!commands_.empty() && object.contains("command")) {
    const Json& name = object["command"];
    if (!name.is_string()) throw ConfigError(cat(where, ": key 'command' must be text, got ", name.dump()));
    if (chosen_.empty()) chosen_ = name.get<std::string>();
    if (chosen_command() == nullptr || chosen_ != name.get<std::string>()) {
      throw ConfigError(cat(where, ": key 'command' is '", name.get<std::string>(), "', which is not ",
                            chosen_command() == nullptr ? "a command" : "the command given"));
    }
  }
  for (const auto& [key, value] : object.items()) {
    if (key == "command" && !commands_.empty()) continue;
    std::string name = key;
    std::replace(name.begin(), name.end(), '_', '-');
    Option* option = find(name);
    if (option == nullptr) throw ConfigError(cat(where, ": ", unknown("key", name, names(), "")));
    option->assign_json(value, cat(where, ": key '", key, "'"));
  }
}

Json Options::to_json() const {
  Json object = Json::object();
  if (!chosen_.empty()) object["command"] = chosen_;
  for (const auto& option : options_) object[option->name_] = option->json();
  if (const Options* sub = chosen_command()) object.update(sub->to_json());
  return object;
}

std::string Options::help() const {
  std::string usage, text;
  for (const auto& option : options_) {
    if (!option->positional_) continue;
    usage += option->required_ ? " " + upper(option->name_) : " [" + upper(option->name_) + "]";
  }
  text = cat(program_, ": ", purpose_, "\n\nusage: ", program_, commands_.empty() ? "" : " COMMAND", " [OPTIONS]",
             usage, "\n");
  if (!commands_.empty()) {
    text += "\nCommands (COMMAND --help lists the options of each)\n";
    for (const auto& [name, options] : commands_) text += wrapped(name, options->purpose_);
  }
  std::string heading;
  for (const auto& option : options_) {
    if (option->group_ != heading || option == options_.front()) {
      heading = option->group_;
      text += cat("\n", heading.empty() ? "Options" : heading, "\n");
    }
    std::string about = option->help_;
    if (!option->choices_.empty()) about += cat(" (", text_of(option->choices_), ")");
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
  if (!epilog_.empty()) text += cat("\n", epilog_, epilog_.back() == '\n' ? "" : "\n");
  return text;
}

}  // namespace terrace
