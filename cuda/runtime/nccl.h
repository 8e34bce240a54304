// NCCL's communicator for tensor/communicator.h. The library is loaded when it is asked for, so that a machine with one
// GPU needs none.
#pragma once

namespace terrace::cuda {

/// Sets the maker of communicators for GPUs.
void provide_communicator();

}  // namespace terrace::cuda
