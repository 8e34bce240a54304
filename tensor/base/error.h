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

struct ShapeError : Error {
  using Error::Error;
};  // extents that do not fit each other
struct DTypeError : Error {
  using Error::Error;
};  // an element type an operation does not take
struct IndexError : Error {
  using Error::Error;
};  // a position or a class beyond the end
struct DeviceError : Error {
  using Error::Error;
};  // a device, or a kernel of it, that is not here
struct IoError : Error {
  using Error::Error;
};  // files: missing, truncated, foreign, unwritable
struct ConfigError : Error {
  using Error::Error;
};  // options and configuration files
struct AutogradError : Error {
  using Error::Error;
};  // misuse of the graph, NaN found by anomaly mode
struct Interrupted : Error {
  using Error::Error;
};  // Ctrl-C; programs exit with 130

/// Concatenates anything that has operator<< into one string: cat("got ", shape, " on ", device).
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

}  // namespace terrace
