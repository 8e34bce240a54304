// What trainers do with the tables of their options.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tensor/base/error.h"
#include "var/training/option_table.h"

namespace terrace {

/// A JSON object of the options, in the order of the table where `Json` keeps one. With Stored::kAlways all of them,
/// with Stored::kUnlessDefault what checkpoints hold.
template <class Json, class Options, size_t N>
Json options_to_json(const OptionField<Options> (&fields)[N], const Options& options, Stored which) {
  const Options defaults;
  Json j = Json::object();
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
          throw ConfigError(cat(prefix, field.name, separator, field.rule.text, ", got ", value));
        }
      }
    };
    std::visit(check, field.member);
  }
}

/// Throws ConfigError for the first option whose value in the checkpoint `path`, `stored`, is another than here.
template <class Options, size_t N>
void check_same_options(const std::string& path, const OptionField<Options> (&fields)[N], const nlohmann::json& stored,
                        const Options& options) {
  using Json = nlohmann::json;
  const Json here = options_to_json<Json>(fields, options, Stored::kAlways);
  const Json defaults = options_to_json<Json>(fields, Options(), Stored::kAlways);
  for (const OptionField<Options>& field : fields) {
    const bool found = stored.contains(field.name), implied = field.stored == Stored::kUnlessDefault;
    const Json& there = found ? stored.at(field.name) : defaults.at(field.name);
    if ((found || implied) && there == here.at(field.name)) { continue; }
    throw ConfigError(cat(path, ": was trained with ", field.name, " = ", found || implied ? there.dump() : "nothing",
                          ", not ", here.at(field.name).dump(), "; resume with the same options"));
  }
}

}  // namespace terrace
