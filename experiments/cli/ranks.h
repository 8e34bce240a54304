// A program as several processes, one for each GPU: `train_var --ranks 4 --device cuda`.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "tensor/communicator.h"

namespace terrace {

/// What a rank takes before it computes anything, at least: the libraries' data and buffers (measured: 46 MB resident,
/// of which 30 are shared).
inline constexpr double kBytesOfRank = 16e6;

/// Called with the number of ranks that the command line asks for. With one: null. With more, the process that the user
/// started starts itself that many times, waits, and ends as rank 0 does (EarlyExit): Ctrl-C, SIGTERM and SIGHUP stop
/// rank 0, whose end ends the others, the failure of any rank ends all, and so does a second signal, at once. In those
/// processes it gives the connection to the others; ranks other than 0 print nothing on stdout and no notes, and leave
/// signals to rank 0. Call it before anything is computed. Throws ConfigError where they cannot be started.
std::unique_ptr<HostCommunicator> join_ranks(int64_t ranks);

/// Runs the body of a program that may be a rank and lets one process report an error: rank 0 where all ranks meet it,
/// and where the others get RankLeft the rank that left. Until join_ranks() no rank prints notes: the process that
/// started it has printed the same.
void as_rank(const std::function<void()>& body);

/// The device of a rank: `cuda` becomes `cuda:RANK`; the CPU and cuda-host stay. Throws ConfigError for one GPU by
/// number.
std::string device_of_rank(const std::string& device, const Communicator* ranks);

/// The threads of a rank, of `threads` that --threads asks for (0: all cores): the ranks share the cores, each with one
/// at least. Where --threads asked for more, rank 0 says so after "PROGRAM: note: ".
int threads_of_rank(int threads, const Communicator* ranks);

}  // namespace terrace
