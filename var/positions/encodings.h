// The table of positional encodings: programs, the study and the tests find them here and know none by name.
//
//   for (const std::string& name : encoding_names()) { ... }
//   std::unique_ptr<PositionalEncoding> positions = make_encoding(config, generator);   // config.positions.kind
//
// A new one is a file of var/positions with its maker, and the maker's row in encodings.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tensor/random.h"
#include "var/config.h"
#include "var/positions/encoding.h"

namespace terrace {

/// Draws the encoding's parameters from the generator.
using EncodingMaker = std::unique_ptr<PositionalEncoding>(const VarConfig& config, Generator& g);

struct EncodingEntry {
  const char* name;
  int64_t channel_multiple = 1;       // the width C must be a multiple of it
  bool reads_learned_weight = false;  // of PositionalConfig: the option --pe-mix
  bool has_fixed_table = false;       // reads its scale and rms: --pe-scale and --pe-rms
  EncodingMaker* make;
};

/// Throws ConfigError that lists the names. PositionalConfig::kind is any text as far as var/config.h knows, which does
/// not include this table: names are checked here, when a model is made, when a configuration is read beside weights,
/// and when programs read their options.
const EncodingEntry& find_encoding(const std::string& name);
const std::vector<std::string>& encoding_names();
/// Those of the encodings that read `learned_weight`.
std::vector<std::string> mixing_encoding_names();

/// The encoding that config.positions names. Throws ConfigError where there is none of that name, or where the width
/// does not suit it.
std::unique_ptr<PositionalEncoding> make_encoding(const VarConfig& config, Generator& g);

/// An option that is not at its default although the encoding does not read it: a run that looks different from
/// another one and is the same.
struct UnreadOption {
  std::string option;  // of the programs, "pe-scale"
  std::string reason;  // "--pe learned has no fixed table"
};
std::vector<UnreadOption> unread_options(const PositionalConfig& positions);

}  // namespace terrace
