// Signals that wait while a process is started.
#pragma once

#include <signal.h>

namespace terrace {

/// While it lives no signal reaches this thread. A child that is forked meanwhile inherits the mask, so that no handler
/// of this process runs in it; exec keeps the mask and the signals that wait.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

/// In a child that was forked under SignalsBlocked, or executed by one.
inline void unblock_signals() {
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace terrace
