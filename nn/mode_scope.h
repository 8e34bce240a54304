// Putting a module into training or eval mode for a while.
#pragma once

#include "nn/module.h"

namespace terrace {

enum class Mode : uint8_t { kTrain, kEval };

/// While it lives, the module is in `mode`; then again in the mode that it had, after an exception too. A module that
/// is in that mode already is not written to, nor are its children, since other threads may be using it.
class ModeScope {
 public:
  ModeScope(Module& module, Mode mode) : module_(module), changes_(module.training() != (mode == Mode::kTrain)) {
    if (changes_) { toggle(); }
  }
  ~ModeScope() {
    if (changes_) { toggle(); }
  }
  ModeScope(const ModeScope&) = delete;
  ModeScope& operator=(const ModeScope&) = delete;

 private:
  void toggle() { module_.training() ? module_.eval() : module_.train(); }
  Module& module_;
  bool changes_;
};

}  // namespace terrace
