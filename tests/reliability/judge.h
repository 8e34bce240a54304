// What came of a run, by what it printed and left.
#pragma once

#include <string>
#include <vector>

#include "tests/reliability/attack.h"

namespace terrace {

/// Lines of standard error that begin "PROGRAM: note: " or "warning: " are remarks; "PROGRAM: error: " begins the one
/// line of a refusal.
std::vector<std::string> remarks_of(const ProcessResult& result);
/// "" where standard error holds one error, in its last line, which holds `name`, and no words of a library; else what
/// is wrong. Lines of progress, notes and warnings may come before.
std::string fault_of_text(const ProcessResult& result, const std::string& name);
/// A hang, a crash, an orphan: what no run may end with, whatever was done to it. nullptr detail: none of these.
bool ended_badly(const ProcessResult& result, Verdict& verdict);
/// "exit 2 after 0.03 s, stderr: ...".
std::string describe(const ProcessResult& result);

}  // namespace terrace
