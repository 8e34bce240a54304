// A module's content as one text, by which files name the model that they were made with.
#pragma once

#include <string>

#include "nn/module.h"

namespace terrace {

/// "sha256:..." of a module's parameters: names, shapes and values. Buffers (hit counts) do not count.
std::string content_hash(const Module& module);

}  // namespace terrace
