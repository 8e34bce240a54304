// The only object that knows the revision, so that a new commit recompiles nothing else.
#include "experiments/cli/program.h"

#ifndef TERRACE_VERSION
#define TERRACE_VERSION "unknown"
#endif

namespace terrace {

const char* version() { return TERRACE_VERSION; }

}  // namespace terrace
