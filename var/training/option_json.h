// What trainers do with the tables of their options.
#pragma once

#include <algorithm>
#include <map>
#include <string>

#include "data/files/json.h"
#include "data/files/json_differences.h"
#include "tensor/base/error.h"
#include "var/training/option_table.h"

namespace terrace {

/// A JSON object of the options, in the order of the table where J keeps one. With Stored::kAlways all of them,
/// with Stored::kUnlessDefault what checkpoints hold.
template <class J, class Options, size_t N>
J options_to_json(const OptionField<Options> (&fields)[N], const Options& options, Stored which) {
  const Options defaults;
  J j = J::object();
  for (const OptionField<Options>& field : fields) {
    const auto add = [&]<class T>(T Options::*member) {
      const bool may_stay_out = which == Stored::kUnlessDefault && field.stored == Stored::kUnlessDefault;
      if (may_stay_out && options.*member == defaults.*member) { return; }
      if constexpr (std::is_same_v<T, DType>) {
        j[field.name] = cat(options.*member);
      } else {
        j[field.name] = options.*member;
      }
    };
    std::visit(add, field.member);
  }
  return j;
}

/// Throws ConfigError for the first option that breaks its rule: prefix, name, separator, "must be positive, got 0".
template <class Options, size_t N>
void check_rules(const OptionField<Options> (&fields)[N], const Options& options, const char* prefix,
                 const char* separator) {
  for (const OptionField<Options>& field : fields) {
    const auto check = [&]<class T>(T Options::*member) {
      if constexpr (std::is_arithmetic_v<T>) {
        const auto value = static_cast<double>(options.*member);
        if (!field.rule.holds(value)) {
          throw ConfigError(cat(prefix, field.name, separator, field.rule.text, ", got ", options.*member));
        }
      }
    };
    std::visit(check, field.member);
  }
}

template <class Options>
std::string option_name(const OptionField<Options>& field) {
  if (field.option != nullptr) { return field.option; }
  std::string name = field.name;
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

/// For json_differences of two configurations of a model.
template <size_t N>
std::map<std::string, std::string> option_names(const ModelOption (&options)[N]) {
  std::map<std::string, std::string> names;
  for (const ModelOption& option : options) { names[option.member] = option.option; }
  return names;
}

/// Throws ConfigError that names every option whose value in the checkpoint `path`, `stored`, is another than here.
/// `steps` is not compared: a run may become longer or shorter.
template <class Options, size_t N>
void check_same_options(const std::string& path, const OptionField<Options> (&fields)[N], const Json& stored,
                        const Options& options) {
  Json here = options_to_json<Json>(fields, options, Stored::kAlways);
  const Json defaults = options_to_json<Json>(fields, Options(), Stored::kAlways);
  Json there = Json::object();
  for (const OptionField<Options>& field : fields) {
    if (stored.contains(field.name)) {
      there[field.name] = stored.at(field.name);
    } else if (field.stored == Stored::kUnlessDefault) {
      there[field.name] = defaults.at(field.name);
    }
  }
  here.erase("steps");
  there.erase("steps");
  std::map<std::string, std::string> names;
  for (const OptionField<Options>& field : fields) { names[field.name] = option_name(field); }
  const std::string differences = json_differences(there, here, names);
  if (differences.empty()) { return; }
  throw ConfigError(cat(path, ": was trained with ", differences, "; resume with the same options"));
}

/// Throws ConfigError where a checkpoint has more steps than the training is to have.
inline void check_steps_fit(const std::string& path, int64_t step, int64_t steps) {
  if (step <= steps) { return; }
  throw ConfigError(cat(path, ": has ", step, " steps already, more than steps = ", steps));
}

}  // namespace terrace
