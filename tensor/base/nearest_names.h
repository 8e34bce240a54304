// Which name was meant: the nearest ones by edit distance, for error texts.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace terrace {

/// Insertions, deletions and replacements that turn `a` into `b`.
size_t edit_distance(const std::string& a, const std::string& b);

/// "nearest names: a, b, c (of 40)"; "it holds no WHAT" without any.
std::string nearest_names(std::vector<std::string> names, const std::string& wanted, const std::string& what);

}  // namespace terrace
