#include "var/weights/official_code.h"

#include <type_traits>

#include "tensor/base/error.h"
#include "tensor/base/shape.h"
#include "var/positions/encodings.h"
#include "var/positions/tables.h"

namespace terrace {
namespace {

std::string shown(bool value) { return value ? "true" : "false"; }
std::string shown(const std::vector<int64_t>& value) { return cat(Shape(value)); }
template <class T>
std::string shown(const T& value) {
  return cat(value);
}

}  // namespace

std::vector<std::string> missing_in_official_code(const VarConfig& config) {
  const std::string& kind = config.positions.kind;
  Generator scratch(0);
  const State tables = make_encoding(config, scratch)->state();
  std::vector<std::string> missing;
  for (const auto& [name, table] : tables) {
    if (name != kLearnedTable) { missing.push_back(cat("it has no ", name, " (--pe ", kind, ")")); }
  }
  if (!tables.contains(kLearnedTable)) { missing.push_back(cat("it wants ", kLearnedTable, ", not in --pe ", kind)); }
  if (!config.positions.level_embedding) { missing.emplace_back("it wants lvl_embed.weight, not in this model"); }
  return missing;
}

std::vector<std::string> missing_in_official_code(const VqvaeConfig& config) {
  const VqvaeConfig official;  // its defaults are that code's
  std::vector<std::string> missing;
  const auto compare = [&](const char* name, const auto& here, const auto& there) {
    if (here != there) { missing.push_back(cat("its ", name, " is ", shown(there), ", here ", shown(here))); }
  };
  compare("in_channels", config.in_channels, official.in_channels);
  compare("ch_mult", config.ch_mult, official.ch_mult);
  compare("num_res_blocks", config.num_res_blocks, official.num_res_blocks);
  compare("using_sa", config.using_sa, official.using_sa);
  compare("using_mid_sa", config.using_mid_sa, official.using_mid_sa);
  compare("norm_groups", config.norm_groups, official.norm_groups);
  compare("norm_eps", config.norm_eps, official.norm_eps);
  return missing;
}

}  // namespace terrace
