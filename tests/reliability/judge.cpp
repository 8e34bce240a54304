#include "tests/reliability/judge.h"

#include <csignal>
#include <cstring>
#include <sstream>

#include "tensor/base/error.h"
#include "tests/reliability/command_lines.h"

namespace terrace {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> result;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) { result.push_back(line); }
  return result;
}

bool is_remark(const std::string& line) {
  return line.find(": note: ") != std::string::npos || line.starts_with("warning: ") ||
         line.find(": warning: ") != std::string::npos;
}

}  // namespace

const char* name_of(Outcome outcome) {
  constexpr const char* kNames[kOutcomes] = {"refused", "made again", "identical", "unchecked",  "SILENT",
                                             "crash",   "hang",       "left-over", "wrong text", "skipped"};
  return kNames[static_cast<int>(outcome)];
}

std::vector<std::string> remarks_of(const ProcessResult& result) {
  std::vector<std::string> remarks;
  for (const std::string& line : lines_of(result.err)) {
    if (is_remark(line)) { remarks.push_back(line); }
  }
  return remarks;
}

std::string fault_of_text(const ProcessResult& result, const std::string& name) {
  int64_t errors = 0;
  std::string last;
  for (const std::string& line : lines_of(result.err)) {
    errors += line.find(": error: ") != std::string::npos ? 1 : 0;
    if (const std::string words = internals_in(line); !words.empty()) { return cat("a library's words (", words, ")"); }
    last = line;
  }
  if (errors != 1 || last.find(": error: ") == std::string::npos) { return cat(errors, " lines of errors"); }
  if (last.find(name) == std::string::npos) { return cat("does not name ", name); }
  return "";
}

bool ended_badly(const ProcessResult& result, Verdict& verdict) {
  if (result.hung) {
    verdict.outcome = Outcome::kHang;
  } else if (result.signal != 0 || (result.exit_code != 0 && result.exit_code != 2 && result.exit_code != 130)) {
    verdict.outcome = Outcome::kCrash;
  } else if (result.orphans) {
    verdict.outcome = Outcome::kLeftOver;
    verdict.detail = "a process lives on: " + describe(result);
    return true;
  } else {
    return false;
  }
  verdict.detail = describe(result);
  return true;
}

std::string describe(const ProcessResult& result) {
  std::string text = result.err.empty() ? result.out : result.err;
  if (text.size() > 300) { text = "..." + text.substr(text.size() - 300); }
  for (char& c : text) {
    if (c == '\n') { c = '|'; }
  }
  const std::string end = result.hung          ? "killed as hanging"
                          : result.signal != 0 ? cat(strsignal(result.signal))
                                               : cat("exit ", result.exit_code);
  return cat(end, " after ", result.seconds, " s: ", text);
}

}  // namespace terrace
