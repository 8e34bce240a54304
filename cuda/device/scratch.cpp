#include "cuda/device/scratch.h"

#include "cuda/device/this_device.h"
#include "tensor/device/allocator.h"
#include "tensor/device/device_memory.h"

namespace terrace::cuda {

Scratch::Scratch(size_t bytes) : data_(nullptr), bytes_(bytes) { data_ = allocate(bytes, &tag_, kThisDevice); }

Scratch::~Scratch() { deallocate(data_, bytes_, tag_, kThisDevice); }

void read_back(void* to, const void* from, size_t bytes) { device_memory(kThisDevice).to_host(to, from, bytes); }

}  // namespace terrace::cuda
