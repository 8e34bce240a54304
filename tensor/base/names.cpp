#include "tensor/base/names.h"

#include <algorithm>
#include <utility>

#include "tensor/base/error.h"

namespace terrace {
std::string join_names(const std::vector<std::string>& names, const std::string& separator, size_t limit) {
  const size_t shown = std::min(names.size(), limit);
  std::string text;
  for (size_t i = 0; i < shown; ++i) { text += (i == 0 ? "" : separator) + names[i]; }
  if (names.size() > shown) { text += cat(" and ", names.size() - shown, " more"); }
  return text;
}

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) { row[j] = j; }
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

std::string nearest_within(const std::string& name, std::span<const std::string> known, size_t max_distance) {
  std::string best;
  size_t bound = max_distance + 1;
  for (const std::string& candidate : known) {
    const size_t found = edit_distance(name, candidate);
    if (found < bound) { bound = found, best = candidate; }
  }
  return best;
}

std::string nearest_name(const std::string& name, const std::vector<std::string>& known) {
  using Rank = std::pair<bool, double>;  // whether the candidate does not begin with the name; its edits by its length
  std::string best;
  Rank of_best{true, std::numeric_limits<double>::infinity()};
  for (const std::string& candidate : known) {
    const bool extends = name.size() >= 3 && candidate.starts_with(name);
    const size_t edits = edit_distance(name, candidate), length = std::max(name.size(), candidate.size());
    if (!extends && (edits > std::max<size_t>(2, name.size() / 3) || 2 * edits > length)) { continue; }
    const Rank rank{!extends, static_cast<double>(edits) / static_cast<double>(length)};
    if (rank < of_best) { of_best = rank, best = candidate; }
  }
  return best;
}

std::string nearest_names(std::vector<std::string> names, const std::string& wanted, const std::string& what) {
  if (names.empty()) { return "it holds no " + what; }
  constexpr size_t kShown = 3;
  std::vector<std::pair<size_t, std::string>> order;
  for (std::string& name : names) { order.emplace_back(edit_distance(name, wanted), std::move(name)); }
  std::sort(order.begin(), order.end());
  std::vector<std::string> shown;
  for (size_t i = 0; i < std::min(order.size(), kShown); ++i) { shown.push_back(order[i].second); }
  return cat("nearest names: ", join_names(shown), order.size() > kShown ? cat(" (of ", order.size(), ")") : "");
}

}  // namespace terrace
