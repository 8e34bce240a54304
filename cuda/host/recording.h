// Graphs of the device cuda-host: launches are kept as closures with copies of their arguments, and run by a replay.
#pragma once

#include <functional>

namespace terrace::cuda {

/// While this thread records: keeps `work` for a replay and returns true. Otherwise the caller runs it.
bool keep_while_recording(const std::function<void()>& work);
/// Throws NotRecordable("WHAT cannot be recorded") while this thread records.
void refuse_while_recording(const char* what);

/// Sets the functions of tensor/device/device_graph.h.
void provide_graphs();

}  // namespace terrace::cuda
