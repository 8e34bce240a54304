// What the readers of JSON configurations share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

namespace terrace {

/// Whether a JSON value can be a field of type T as it is: the library's own conversion cuts fractions off and lets
/// numbers beyond the type through.
template <class T, class Json>
bool json_fits(const Json& value) {
  if constexpr (std::is_same_v<T, bool>) { return value.is_boolean(); }
  if constexpr (std::is_same_v<T, double>) { return value.is_number(); }
  if constexpr (std::is_same_v<T, std::string>) { return value.is_string(); }
  if constexpr (std::is_same_v<T, int64_t>) {
    constexpr auto kMax = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    return value.is_number_integer() && (!value.is_number_unsigned() || value.template get<uint64_t>() <= kMax);
  }
  if constexpr (std::is_same_v<T, std::vector<int64_t>>) {
    return value.is_array() && std::all_of(value.begin(), value.end(), json_fits<int64_t, Json>);
  }
  return true;
}

}  // namespace terrace
