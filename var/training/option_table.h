// The options of a trainer as a table of members: what its checkpoints say of them, whether a run may be resumed with
// these, and whether they make sense are all read from it (option_json.h).
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "tensor/base/dtype.h"

namespace terrace {

/// What holds for a number, for a message: "steps must be positive".
struct OptionRule {
  const char* text;
  bool (*holds)(double value);
};
inline constexpr OptionRule kAnyValue{"", [](double) { return true; }};
inline constexpr OptionRule kPositive{"must be positive", [](double v) { return v > 0; }};
inline constexpr OptionRule kNotNegative{"must not be negative", [](double v) { return v >= 0; }};
inline constexpr OptionRule kShareBelowOne{"must be in [0, 1)", [](double v) { return v >= 0 && v < 1; }};

enum class Stored : uint8_t {
  kAlways,
  /// Where it differs from the default. For options younger than the first checkpoints, which do not name them: those
  /// can be resumed as long as the option is left alone.
  kUnlessDefault,
};

/// An option that decides the course of a training. Those that do not (path and interval of checkpoints, how often it
/// is evaluated, recompute, graphs) are in no table and may change when a run is resumed.
template <class Options>
struct OptionField {
  const char* name;
  std::variant<int64_t Options::*, uint64_t Options::*, double Options::*, std::string Options::*, DType Options::*>
      member;
  OptionRule rule = kAnyValue;
  Stored stored = Stored::kAlways;
  /// What the trainer's program calls it, without the dashes in front; null: as `name`, with - for _.
  const char* option = nullptr;
};

/// What a trainer's program calls a member of the model's configuration: {"positions.kind", "pe"}.
struct ModelOption {
  const char* member;
  const char* option;
};

}  // namespace terrace
