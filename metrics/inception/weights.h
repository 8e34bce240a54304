// Where the weights of Inception-v3 are found, so that nobody has to name them twice.
#pragma once

#include <string>

namespace terrace {

/// The file that pytorch-fid publishes; `make inception` downloads it and checks that its SHA-256 begins with 6726825d.
inline constexpr const char* kInceptionFile = "pt_inception-2015-12-05-6726825d.pth";

/// The environment variable TERRACE_INCEPTION, a file; else what `make inception` has put into the cache,
/// $XDG_CACHE_HOME/terrace/inception or ~/.cache/terrace/inception; else "". Throws IoError where TERRACE_INCEPTION
/// names no file.
std::string find_inception_weights();

}  // namespace terrace
