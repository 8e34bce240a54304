// What every caller of oneDNN's primitives shares: for the files that include its header anyway.
#pragma once

#include <dnnl.hpp>

namespace terrace::onednn {

/// The processor.
inline const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

/// The calling thread's order of work.
inline dnnl::stream& stream() {
  static thread_local dnnl::stream instance(cpu());
  return instance;
}

/// Our memory as the library takes it; what is only read may be const.
inline dnnl::memory wrap(const dnnl::memory::desc& description, const void* data) {
  return dnnl::memory(description, cpu(), const_cast<void*>(data));
}

}  // namespace terrace::onednn
