#include "tests/reliability/attack.h"

namespace terrace {

const std::vector<AttackClass>& attack_classes() {
  static const std::vector<AttackClass> classes = {
      // name, about, share of the time, least tries of a long run, tries of the tests, functions
      {"flips", "one bit of a file that a program reads", 0.2, 2000, 60, prepare_flips, try_flip},
      {"cuts", "a file cut, extended, with zeroed or exchanged blocks, or another file", 0.1, 600, 30, prepare_flips,
       try_cut},
      {"metadata", "bytes of HDF5 files outside of values, with and without checksums", 0.22, 3000, 54,
       prepare_metadata, try_metadata},
      {"kills", "SIGKILL at a moment or in the midst of a write, then the way on", 0.12, 300, 33, prepare_runs,
       try_kill},
      {"disks", "a disk that is full, read-only or fails to read", 0.1, 200, 44, prepare_runs, try_disk},
      {"signals", "SIGINT, SIGTERM, SIGHUP, a closed standard output, a second signal", 0.08, 200, 33, prepare_runs,
       try_signal},
      {"limits", "ulimit -v, -n, -f and -u", 0.06, 150, 33, prepare_runs, try_limit},
      {"commands", "mutated command lines and configurations", 0.06, 500, 24, prepare_commands, try_command},
      {"pairs", "two processes with one --out, two with one cache", 0.06, 100, 13, prepare_runs, try_pair},
  };
  return classes;
}

}  // namespace terrace
