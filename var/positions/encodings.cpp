#include "var/positions/encodings.h"

#include "tensor/base/error.h"
#include "tensor/base/names.h"

namespace terrace {

// Defined in the files of the encodings.
EncodingMaker make_learned, make_learned_xavier, make_sinusoid_1d, make_sinusoid_2d, make_mixed;

namespace {

std::unique_ptr<PositionalEncoding> make_none(const VarConfig&, Generator&) {
  return std::make_unique<PositionalEncoding>();
}

constexpr EncodingEntry kEncodings[] = {
    {.name = "learned", .make = make_learned},
    {.name = "learned-xavier", .make = make_learned_xavier},
    {.name = "sinusoid-1d", .channel_multiple = 2, .has_fixed_table = true, .make = make_sinusoid_1d},
    {.name = "sinusoid-2d", .channel_multiple = 4, .has_fixed_table = true, .make = make_sinusoid_2d},
    {.name = "mixed", .channel_multiple = 4, .reads_learned_weight = true, .has_fixed_table = true, .make = make_mixed},
    {.name = "none", .make = make_none},
};

}  // namespace

const EncodingEntry& find_encoding(const std::string& name) {
  for (const EncodingEntry& entry : kEncodings) {
    if (name == entry.name) { return entry; }
  }
  throw ConfigError(cat("positional encoding '", name, "' is not known; there are ", join_names(encoding_names())));
}

const std::vector<std::string>& encoding_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const EncodingEntry& entry : kEncodings) { all.emplace_back(entry.name); }
    return all;
  }();
  return names;
}

std::vector<std::string> mixing_encoding_names() {
  std::vector<std::string> names;
  for (const EncodingEntry& entry : kEncodings) {
    if (entry.reads_learned_weight) { names.emplace_back(entry.name); }
  }
  return names;
}

std::unique_ptr<PositionalEncoding> make_encoding(const VarConfig& config, Generator& g) {
  const EncodingEntry& entry = find_encoding(config.positions.kind);
  if (config.embed_dim % entry.channel_multiple != 0) {
    throw ConfigError(cat("positional encoding: a ", entry.name, " table needs channels in multiples of ",
                          entry.channel_multiple, ", got ", config.embed_dim));
  }
  return entry.make(config, g);
}

std::vector<UnreadOption> unread_options(const PositionalConfig& positions) {
  const EncodingEntry& entry = find_encoding(positions.kind);
  const PositionalConfig defaults;
  const std::string no_table = cat("--pe ", entry.name, " has no fixed table");
  std::vector<UnreadOption> unread;
  if (!entry.reads_learned_weight && positions.learned_weight != defaults.learned_weight) {
    unread.push_back({"pe-mix", "it is for --pe " + join_names(mixing_encoding_names())});
  }
  if (!entry.has_fixed_table && positions.scale != defaults.scale) { unread.push_back({"pe-scale", no_table}); }
  if (!entry.has_fixed_table && positions.rms != defaults.rms) { unread.push_back({"pe-rms", no_table}); }
  if (entry.has_fixed_table && positions.rms > 0 && positions.scale != defaults.scale) {
    unread.push_back({"pe-scale", "--pe-rms sets the size of the table"});
  }
  return unread;
}

}  // namespace terrace
