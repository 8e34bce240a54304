// Products through cuBLASLt. It stores matrices by columns: our C (M, N) by rows is its D = C^T (N, M), so that it is
// given B as its first operand and A as its second.
//
// f32 is computed in f32 (no TF32), bf16 with f32 sums, which are rounded or stored as they are, f64 in f64. What
// cuBLASLt proposes for a form of product is kept; only algorithms are asked for that add partial sums in the type they
// are computed in and in a fixed order. What it refuses with a fused epilogue is done in two steps, what it refuses
// altogether by cuda/kernels/product.cu.
#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <tuple>

#include "cuda/device/scratch.h"
#include "cuda/kernels/product.h"
#include "cuda/libraries/handles.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/range.h"
#include "cuda/runtime/stream.h"

namespace terrace {
namespace {

using cuda::check;

constexpr size_t kWorkspace = size_t{32} << 20;  // what NVIDIA advises for Hopper

// --- cuBLASLt's descriptors, which release themselves ---------------------------------------------------------------

using Operation = cuda::Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = cuda::Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = cuda::Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

template <class V>
void set(const Operation& operation, cublasLtMatmulDescAttributes_t attribute, const V& value) {
  TERRACE_CUDA(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof value));
}
template <class V>
void set(const Layout& layout, cublasLtMatrixLayoutAttribute_t attribute, const V& value) {
  TERRACE_CUDA(cublasLtMatrixLayoutSetAttribute(layout.get(), attribute, &value, sizeof value));
}
template <class V>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, const V& value) {
  TERRACE_CUDA(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value));
}

// --- Types -----------------------------------------------------------------------------------------------------------

template <class T>
constexpr cudaDataType_t element_type() {
  if constexpr (std::is_same_v<T, double>) { return CUDA_R_64F; }
  if constexpr (std::is_same_v<T, BFloat16>) { return CUDA_R_16BF; }
  return CUDA_R_32F;
}

struct Types {
  cudaDataType_t operand, result, scale;
  cublasComputeType_t compute;
};
template <class T, class R>
constexpr Types types_of() {
  return {element_type<T>(), element_type<R>(), element_type<Accumulator<T>>(),
          std::is_same_v<T, double> ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F};
}

template <class T, class R>
cublasLtEpilogue_t epilogue_of(const Product<T, R>& p) {
  switch (p.epilogue) {
    case Epilogue::kNone:
      return p.sums_of_a != nullptr ? CUBLASLT_EPILOGUE_BGRADB : CUBLASLT_EPILOGUE_DEFAULT;
    case Epilogue::kBias:
      return p.bias != nullptr ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    case Epilogue::kBiasGelu:
      if (p.pre_activation == nullptr) {
        return p.bias != nullptr ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
      }
      return p.bias != nullptr ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
    case Epilogue::kGeluBackward:
      return p.column_sums != nullptr ? CUBLASLT_EPILOGUE_DGELU_BGRAD : CUBLASLT_EPILOGUE_DGELU;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

/// What the epilogue calls bias: the vector added, or the one that sums are stored in. It is of D's type.
template <class T, class R>
const void* vector_of(const Product<T, R>& p) {
  if (p.epilogue == Epilogue::kNone) { return p.sums_of_a; }
  return p.epilogue == Epilogue::kGeluBackward ? p.column_sums : p.bias;
}

// --- Forms of products, and what is kept for each -------------------------------------------------------------------

/// The largest power of two up to 256 that divides an address.
uint32_t alignment(const void* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  return address == 0 ? 256 : static_cast<uint32_t>(std::min<uintptr_t>(address & (~address + 1), 256));
}

/// All that an algorithm depends on.
using Form = std::tuple<const Types*, std::array<int64_t, 10>, std::array<int, 4>, std::array<uint32_t, 5>>;

struct Plan {
  Operation operation;
  Layout a, b, c;
  cublasLtMatmulAlgo_t algorithm;
  size_t workspace = 0;
};

template <class T, class R>
Form form_of(const Product<T, R>& p) {
  static const Types type = types_of<T, R>();  // its address tells the types apart
  const GemmShape& s = p.shape;
  return {&type,
          {s.M, s.N, s.K, s.lda, s.ldb, s.ldc, p.batch, p.step_a, p.step_b, p.step_c},
          {static_cast<int>(s.transpose_a), static_cast<int>(s.transpose_b), static_cast<int>(p.write),
           static_cast<int>(epilogue_of(p))},
          {alignment(p.a), alignment(p.b), alignment(p.c), alignment(vector_of(p)), alignment(p.pre_activation)}};
}

Layout layout_of(cudaDataType_t type, int64_t rows, int64_t columns, int64_t stride, int64_t batch, int64_t step) {
  Layout layout;
  TERRACE_CUDA(cublasLtMatrixLayoutCreate(layout.address(), type, static_cast<uint64_t>(rows),
                                          static_cast<uint64_t>(columns), stride));
  if (batch > 1) {
    set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<int32_t>(batch));
    set(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, step);
  }
  return layout;
}

template <class T, class R>
void set_pointers(const Operation& operation, const Product<T, R>& p) {
  if (const void* vector = vector_of(p)) { set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, vector); }
  if (p.pre_activation != nullptr) { set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, p.pre_activation); }
}

template <class T, class R>
Operation operation_of(const Product<T, R>& p) {
  constexpr Types types = types_of<T, R>();
  const auto flag = [](Transpose t) { return t == Transpose::kYes ? CUBLAS_OP_T : CUBLAS_OP_N; };
  Operation operation;
  TERRACE_CUDA(cublasLtMatmulDescCreate(operation.address(), types.compute, types.scale));
  set(operation, CUBLASLT_MATMUL_DESC_TRANSA, flag(p.shape.transpose_b));
  set(operation, CUBLASLT_MATMUL_DESC_TRANSB, flag(p.shape.transpose_a));
  set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(p));
  if (p.pre_activation != nullptr) { set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p.shape.N); }
  set_pointers(operation, p);
  return operation;
}

Preference preference_for(const std::array<uint32_t, 5>& alignments) {
  Preference preference;
  TERRACE_CUDA(cublasLtMatmulPreferenceCreate(preference.address()));
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspace);
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignments[1]);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignments[0]);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignments[2]);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignments[2]);
  return preference;
}

/// None where cuBLASLt has no algorithm for this.
template <class T, class R>
std::optional<Plan> make_plan(const Product<T, R>& p, const Form& form) {
  const GemmShape& s = p.shape;
  if (p.batch > INT32_MAX) { return std::nullopt; }
  constexpr Types types = types_of<T, R>();
  const bool across_a = s.transpose_a == Transpose::kYes, across_b = s.transpose_b == Transpose::kYes;
  Plan plan{operation_of(p),
            layout_of(types.operand, across_b ? s.K : s.N, across_b ? s.N : s.K, s.ldb, p.batch, p.step_b),
            layout_of(types.operand, across_a ? s.M : s.K, across_a ? s.K : s.M, s.lda, p.batch, p.step_a),
            layout_of(types.result, s.N, s.M, s.ldc, p.batch, p.step_c),
            {}};
  const Preference preference = preference_for(std::get<3>(form));
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(cuda::cublaslt(), plan.operation.get(), plan.a.get(), plan.b.get(), plan.c.get(),
                                     plan.c.get(), preference.get(), 1, &best, &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) { return std::nullopt; }
  check(status, "cublasLtMatmulAlgoGetHeuristic");
  if (found == 0 || best.state != CUBLAS_STATUS_SUCCESS) { return std::nullopt; }
  plan.algorithm = best.algo;
  plan.workspace = best.workspaceSize;
  return plan;
}

struct Plans {
  std::mutex mutex;
  std::map<Form, std::optional<Plan>> kept;
};
Plans& plans() {
  static Plans* const all = new Plans;  // never destroyed: the libraries may be gone by then
  return *all;
}

/// Whether cuBLASLt has done all of `p`.
template <class T, class R>
bool run_by_cublaslt(const Product<T, R>& p) {
  Plans& all = plans();
  const std::lock_guard lock(all.mutex);
  const Form form = form_of(p);
  auto found = all.kept.find(form);
  if (found == all.kept.end()) { found = all.kept.emplace(form, make_plan(p, form)).first; }
  if (!found->second) { return false; }
  const Plan& plan = *found->second;
  set_pointers(plan.operation, p);
  const cuda::Scratch workspace(plan.workspace);
  const Accumulator<T> one = 1, old = p.write == Write::kAccumulate ? Accumulator<T>(1) : Accumulator<T>(0);
  cuda::Range range("matmul");
  check(cublasLtMatmul(cuda::cublaslt(), plan.operation.get(), &one, p.b, plan.a.get(), p.a, plan.b.get(), &old, p.c,
                       plan.c.get(), p.c, plan.c.get(), &plan.algorithm, workspace.as<void>(), plan.workspace,
                       cuda::current_stream().get()),
        "cublasLtMatmul");
  check(range.finish(), "cublasLtMatmul");
  return true;
}

template <class T, class R>
void multiply(const Product<T, R>& p) {
  if (run_by_cublaslt(p)) { return; }
  if (p.epilogue != Epilogue::kNone || p.sums_of_a != nullptr) {
    Product<T, R> plain = p;
    plain.epilogue = Epilogue::kNone;
    plain.bias = nullptr;
    plain.pre_activation = plain.sums_of_a = nullptr;
    plain.column_sums = nullptr;
    if (run_by_cublaslt(plain)) { return cuda::finish_product(p); }
  }
  cuda::tiled_product(p);
}

TERRACE_REGISTER_FLOATS(matrix_product, multiply);
TERRACE_REGISTER_BY(matrix_product<BFloat16, float>.set(TERRACE_COLUMN, &multiply<BFloat16, float>));

}  // namespace
}  // namespace terrace
