#include "cuda/runtime/nccl.h"

#include <dlfcn.h>
#include <nccl.h>

#include "cuda/runtime/stream.h"
#include "tensor/communicator.h"

namespace terrace::cuda {
namespace {

/// The functions of libnccl.so.2.
struct Nccl {
  decltype(&ncclGetUniqueId) get_unique_id;
  decltype(&ncclCommInitRank) init_rank;
  decltype(&ncclCommDestroy) destroy;
  decltype(&ncclAllReduce) all_reduce;
  decltype(&ncclGroupStart) group_start;
  decltype(&ncclGroupEnd) group_end;
  decltype(&ncclGetErrorString) error_string;

  Nccl() {
    void* library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_GLOBAL);
    if (library == nullptr) {
      throw DeviceError(cat("several GPUs need NCCL, which cannot be loaded (", dlerror(), ")"));
    }
    find(library, "ncclGetUniqueId", get_unique_id);
    find(library, "ncclCommInitRank", init_rank);
    find(library, "ncclCommDestroy", destroy);
    find(library, "ncclAllReduce", all_reduce);
    find(library, "ncclGroupStart", group_start);
    find(library, "ncclGroupEnd", group_end);
    find(library, "ncclGetErrorString", error_string);
  }
  template <class F>
  static void find(void* library, const char* name, F& function) {
    function = reinterpret_cast<F>(dlsym(library, name));
    if (function == nullptr) { throw DeviceError(cat("libnccl.so.2 has no ", name)); }
  }
};

const Nccl& nccl() {
  static const Nccl library;
  return library;
}

void check_nccl(ncclResult_t status, const char* statement) {
  if (status == ncclSuccess) { return; }
  throw DeviceError(cat(statement, " failed: ", nccl().error_string(status), " (", static_cast<int>(status),
                        "); NCCL_DEBUG=INFO tells more"));
}

#define TERRACE_NCCL(function, ...) check_nccl(nccl().function(__VA_ARGS__), "NCCL " #function)

/// Sums in the order of NCCL's rings, the same on every rank and every time on one machine; with two ranks the result
/// is that of HostCommunicator. The sums are launched like kernels, so that they can be recorded.
class NcclCommunicator : public Communicator {
 public:
  explicit NcclCommunicator(HostCommunicator& host) : Communicator(host.rank(), host.size()) {
    current_stream();  // NCCL takes the thread's GPU
    ncclUniqueId id{};
    if (rank() == 0) { TERRACE_NCCL(get_unique_id, &id); }
    host.broadcast(&id, sizeof id);
    TERRACE_NCCL(init_rank, &communicator_, size(), id, rank());
  }
  ~NcclCommunicator() override { nccl().destroy(communicator_); }

  void sum(const std::vector<Tensor>& tensors) override {
    TERRACE_NCCL(group_start);
    for (const Tensor& tensor : tensors) {
      if (tensor.dtype() != DType::kF32) { check_dtype(tensor, DType::kF64, "Communicator::sum", "the tensor"); }
      const ncclDataType_t type = tensor.dtype() == DType::kF32 ? ncclFloat32 : ncclFloat64;
      void* values = tensor.raw_data();
      TERRACE_NCCL(all_reduce, values, values, static_cast<size_t>(tensor.numel()), type, ncclSum, communicator_,
                   current_stream().get());
      Tensor(tensor).bump_version();
    }
    TERRACE_NCCL(group_end);
  }

 private:
  ncclComm_t communicator_ = nullptr;
};

}  // namespace

void provide_communicator() {
  set_communicator_maker(DeviceType::kCuda, [](HostCommunicator& host) -> std::unique_ptr<Communicator> {
    return std::make_unique<NcclCommunicator>(host);
  });
}

}  // namespace terrace::cuda
