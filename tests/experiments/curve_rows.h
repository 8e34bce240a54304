// The rows of a curves.csv.
#pragma once

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "data/files/atomic_file.h"
#include "tensor/base/error.h"

namespace terrace {

using Rows = std::vector<std::vector<std::string>>;

/// The fields of a CSV, the header first.
inline Rows csv_rows(const std::string& path) {
  Rows rows;
  std::istringstream lines(read_file(path));
  for (std::string line; std::getline(lines, line);) {
    rows.emplace_back();
    std::istringstream fields(line + ",");
    for (std::string field; std::getline(fields, field, ',');) { rows.back().push_back(field); }
  }
  return rows;
}

/// The fields of a column below its name.
inline std::vector<std::string> column(const std::string& path, const std::string& name) {
  const Rows rows = csv_rows(path);
  const auto found = std::find(rows[0].begin(), rows[0].end(), name);
  if (found == rows[0].end()) { throw IndexError(cat(path, ": no column ", name)); }
  std::vector<std::string> fields;
  for (size_t r = 1; r < rows.size(); ++r) { fields.push_back(rows[r].at(found - rows[0].begin())); }
  return fields;
}

/// The rows without what the clock and the machine decide.
inline Rows timeless(const std::string& path) {
  Rows rows = csv_rows(path);
  for (const char* name : {"seconds_per_step", "peak_bytes"}) {
    const auto at = std::find(rows[0].begin(), rows[0].end(), name) - rows[0].begin();
    for (std::vector<std::string>& row : rows) { row.erase(row.begin() + at); }
  }
  return rows;
}

}  // namespace terrace
