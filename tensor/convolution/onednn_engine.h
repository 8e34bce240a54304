// What every caller of oneDNN's primitives shares. For .cpp files only: it includes the library's header.
#pragma once

#include <dnnl.hpp>

namespace terrace::onednn {

/// The processor.
inline const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

/// The calling thread's stream: its primitives run one after the other.
inline dnnl::stream& stream() {
  static thread_local dnnl::stream instance(cpu());
  return instance;
}

/// Wraps memory of ours for the library, whose type does not tell inputs, which it only reads, from outputs.
inline dnnl::memory wrap(const dnnl::memory::desc& description, const void* data) {
  return dnnl::memory(description, cpu(), const_cast<void*>(data));
}

}  // namespace terrace::onednn
