// CUDA graphs of what the backend launches: tensor/device/device_graph.h for GPUs.
#pragma once

namespace terrace::cuda {

/// Throws NotRecordable("WHAT cannot be recorded") while a graph is.
void refuse_while_recording(const char* what);

/// Sets the functions of tensor/device/device_graph.h.
void provide_graphs();

}  // namespace terrace::cuda
