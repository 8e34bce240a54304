// A system call that fails, in a fork of this process.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <string>

#include "tests/support.h"

namespace terrace {

/// From now on the call fails with `error` where its argument `index` has that value. False where the system does not
/// allow it. Lasts as long as the process.
inline bool refuse_call(uint32_t call, uint32_t index, uint32_t value, uint32_t error) {
  const auto at = static_cast<uint32_t>(offsetof(seccomp_data, args) + index * sizeof(uint64_t));
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{sizeof(code) / sizeof(code[0]), code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// What the fork says: the text that `say` returns, which may end the process.
inline std::string said_by_fork(const std::function<std::string()>& say) {
  int ends[2];
  if (pipe(ends) != 0) { return "no pipe"; }
  const pid_t process = fork();
  if (process == 0) {
    const std::string text = say();
    _exit(write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  char block[4096];
  for (ssize_t count = 0; (count = read(ends[0], block, sizeof(block))) > 0;) {
    text.append(block, static_cast<size_t>(count));
  }
  close(ends[0]);
  waitpid(process, nullptr, 0);
  return text;
}

}  // namespace terrace
