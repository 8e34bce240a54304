#include "tensor/base/nearest_names.h"

#include <algorithm>

#include "tensor/base/error.h"

namespace terrace {

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

std::string nearest_names(std::vector<std::string> names, const std::string& wanted, const std::string& what) {
  if (names.empty()) { return "it holds no " + what; }
  constexpr size_t kShown = 3;
  std::vector<std::pair<size_t, std::string>> order;
  for (std::string& name : names) { order.emplace_back(edit_distance(name, wanted), std::move(name)); }
  std::sort(order.begin(), order.end());
  std::string text = "nearest names: ";
  for (size_t i = 0; i < std::min(order.size(), kShown); ++i) { text += (i == 0 ? "" : ", ") + order[i].second; }
  if (order.size() > kShown) { text += cat(" (of ", order.size(), ")"); }
  return text;
}

}  // namespace terrace
