// What a call throws, as text.
#pragma once

#include <functional>
#include <string>

#include "tensor/base/error.h"

namespace terrace {

inline std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const IndexError& error) { return cat("IndexError ", error.what()); } catch (const IoError& error) {
    return cat("IoError ", error.what());
  }
  return "";
}

}  // namespace terrace
