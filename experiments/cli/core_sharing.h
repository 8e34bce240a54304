// How programs share the cores of a machine with other processes.
#pragma once

namespace terrace {

/// Bounds how long a thread that waits for others spins before it sleeps. libgomp reads this from GOMP_SPINCOUNT while
/// it is loaded, and its default is some milliseconds, in which a waiting thread keeps others from its core. So the
/// program sets the variable and executes itself anew. Returns where the environment says how to wait (GOMP_SPINCOUNT,
/// OMP_WAIT_POLICY) or binds threads to places (OMP_PROC_BIND, OMP_PLACES): this thread is bound to the first of them,
/// and the program executed anew would have no other. Returns, too, where the program cannot be executed anew.
void bound_spinning(char** argv);

/// Computes with `threads` threads from here on, 0 for one on each available core; with no more than there are, which
/// is said on stderr after "PROGRAM: note: ". The calling thread is the one that computes.
void begin_core_sharing(int threads);

/// To be called between pieces of work. Reads four times a second how much of the cores other processes use, and
/// computes with as many threads as they leave free, at least one, at most as many as were asked for. Results do not
/// depend on it. Says so once, after two seconds of it. Does nothing before begin_core_sharing(), in other threads, or
/// in parallel regions.
void share_cores();

/// The number of threads asked for, which share_cores() does not exceed.
int thread_limit();

}  // namespace terrace
