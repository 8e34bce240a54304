// What limits of address space (ulimit -v) and of data (ulimit -d) leave to OpenBLAS and to threads.
//
// OpenBLAS maps a buffer for each of its threads while the program is loaded and, where the system refuses the memory,
// asks again for ever; OpenMP's runtime ends the process where it cannot start a thread. So a program looks before
// either begins: a function in its .preinit_array, which runs before any library's constructor.
#pragma once

#include <cstdint>

namespace terrace {

/// Bytes that the limits leave, at least 0; -1 where there is no limit.
int64_t address_space_left();

/// Bytes of address space that each thread takes: two buffers of OpenBLAS (one that it maps when it is loaded, one for
/// products that threads compute at the same time), and the stack.
int64_t address_space_of_thread();

/// The number of threads, of 1 to `wanted`, for which the limits leave address space beside that of the program's own
/// data; 0 where not even one has its. `wanted` where there is no limit.
int threads_in_address_space(int wanted);

/// The number of threads, of 1 to `wanted`, for which the limits left address space when the program was loaded, since
/// OpenBLAS has taken its part of it by then. Where that is fewer it is said after "PROGRAM: note: ".
int threads_that_fit(int wanted);

/// The number of threads, of 1 to `wanted`, that the system starts at once: a limit of processes (ulimit -u, a control
/// group) may let it start fewer. They are started, and end again.
int threads_that_start(int wanted);

}  // namespace terrace
