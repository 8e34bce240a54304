// Exponential moving averages of parameters, for evaluation and sampling.
#pragma once

#include "nn/module.h"

namespace terrace {

/// shadow = d * shadow + (1 - d) * parameter, after every step; d = min(decay, (1 + t) / (10 + t)) after t updates. The
/// warm-up (as in TensorFlow's ExponentialMovingAverage) forgets the random start, which `decay` alone would keep for
/// 1 / (1 - decay) steps. Starts as a copy of the parameters.
class Ema {
 public:
  Ema(NamedParameters params, double decay);  // decay in [0, 1)
  void update();
  double decay() const { return decay_; }
  int64_t updates() const { return updates_; }

  /// The averages by parameter name; handles.
  State state() const;
  /// Copies in the averages after `updates` updates. Throws ConfigError with all missing, extra and mis-shaped names at
  /// once.
  void load_state(const State& state, int64_t updates);

  /// Exchanges the values of parameters and averages; a second call undoes the first.
  void swap();

 private:
  NamedParameters params_;
  std::vector<Tensor> shadow_;
  double decay_;
  int64_t updates_ = 0;
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
