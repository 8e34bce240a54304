// Exponential moving averages of parameters, for evaluation and sampling.
#pragma once

#include "nn/module.h"

namespace terrace {

/// shadow = decay * shadow + (1 - decay) * parameter, after every step. Starts as a copy of the parameters.
class Ema {
 public:
  Ema(NamedParameters params, double decay);  // decay in [0, 1)
  void update();
  double decay() const { return decay_; }

  /// The averages by parameter name; handles.
  State state() const;
  /// Copies in. Throws ConfigError with all missing, extra and mis-shaped names at once.
  void load_state(const State& state);

  /// Exchanges the values of parameters and averages; twice is nothing.
  void swap();

 private:
  NamedParameters params_;
  std::vector<Tensor> shadow_;
  double decay_;
};

/// While it lives, the model has the averaged values.
class EmaScope {
 public:
  explicit EmaScope(Ema& ema) : ema_(ema) { ema_.swap(); }
  ~EmaScope() { ema_.swap(); }
  EmaScope(const EmaScope&) = delete;
  EmaScope& operator=(const EmaScope&) = delete;

 private:
  Ema& ema_;
};

}  // namespace terrace
