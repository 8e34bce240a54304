// Lending default_generator() to work that draws from a stream of its own.
#pragma once

#include <utility>

#include "tensor/random.h"

namespace terrace {

/// While it lives, default_generator() goes on from `position`; then it is again what it was, after an exception too.
class GeneratorScope {
 public:
  explicit GeneratorScope(const Generator& position) : previous_(std::exchange(default_generator(), position)) {}
  ~GeneratorScope() { default_generator() = previous_; }
  GeneratorScope(const GeneratorScope&) = delete;
  GeneratorScope& operator=(const GeneratorScope&) = delete;

 private:
  Generator previous_;
};

}  // namespace terrace
