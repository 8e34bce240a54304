// Names in error texts and help pages: lists of them, and the one that was meant.
#pragma once

#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace terrace {

/// "a, b, c"; beyond `limit` names "a, b and 38 more".
std::string join_names(const std::vector<std::string>& names, const std::string& separator = ", ",
                       size_t limit = std::numeric_limits<size_t>::max());

/// Insertions, deletions and replacements that turn `a` into `b` (Levenshtein 1966).
size_t edit_distance(const std::string& a, const std::string& b);

/// The first of the entries of `known` nearest to `name` by edit distance, "" where none is within `max_distance`.
std::string nearest_within(const std::string& name, std::span<const std::string> known, size_t max_distance);

/// The shortest entry that begins with a name of three letters or more; else the one with the fewest edits for its
/// length, within a third of the name or two edits, and half of the longer of the two: "" where there is none.
std::string nearest_name(const std::string& name, const std::vector<std::string>& known);

/// "nearest names: a, b, c (of 40)"; "it holds no WHAT" without any.
std::string nearest_names(std::vector<std::string> names, const std::string& wanted, const std::string& what);

}  // namespace terrace
