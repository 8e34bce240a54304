// Typed errors. The text says which operation, what it expected, what came, and what to do about it.
// Programs catch `Error` in one place (experiments/cli/program.h), print one line and exit with 2.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace terrace {

class Error : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Extents that do not fit each other.
struct ShapeError : Error {
  using Error::Error;
};
/// An element type that an operation does not take.
struct DTypeError : Error {
  using Error::Error;
};
/// A position or a class beyond the end.
struct IndexError : Error {
  using Error::Error;
};
/// A device, or a kernel of it, that is not available.
struct DeviceError : Error {
  using Error::Error;
};
/// Files: missing, truncated, foreign, unwritable.
struct IoError : Error {
  using Error::Error;
};
/// Options and configuration files.
struct ConfigError : Error {
  using Error::Error;
};
/// Misuse of the graph; NaN found by anomaly mode.
struct AutogradError : Error {
  using Error::Error;
};
/// Ctrl-C; programs exit with 130.
struct Interrupted : Error {
  using Error::Error;
};

/// Concatenates anything that has operator<< into one string: cat("got ", shape, " on ", device).
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

}  // namespace terrace
