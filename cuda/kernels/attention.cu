// Attention in tiles, without the matrix of probabilities (Dao et al. 2022): a tile of queries takes one tile of keys
// after the other, computes scores and their exponentials relative to the largest score so far, and adds the product
// with the values; results are divided by the sum of exponentials at the end. The backward pass computes the
// probabilities again, from the log-sum-exp: once for the queries' gradients, by tiles of queries, and once for those
// of keys and values, by tiles of keys. So every sum is computed by one block in one order, and nothing is added
// atomically.
//
// In this file: sums over rows that both passes need, and the choice between the kernels.
#include "cuda/device/attention_general.h"
#include "cuda/device/collectives.h"
#include "cuda/kernels/attention.h"
#include "tensor/base/math.h"

namespace terrace {
namespace {

using cuda::AttentionCall;
using cuda::AttentionScales;

constexpr int kThreads = 256;

struct DotOf {
  template <class A>
  __device__ A operator()(A sum) const {
    return sum;
  }
};
struct InverseNormOf {
  template <class A>
  __device__ A operator()(A squares) const {
    const A norm = math::sqrt(squares), eps = static_cast<A>(kAttentionNormEps);
    return A(1) / (norm < eps ? eps : norm);
  }
};

/// out (B, H, L) = finish(sum over d of x y). `Lanes` threads read a row, N elements at a time.
template <int Lanes, int N, class Finish, class T>
__global__ void __launch_bounds__(kThreads) row_sums(AttentionRows<const T> x, AttentionRows<const T> y,
                                                     Accumulator<T>* out, int64_t rows, int H, int L, int D) {
  using A = Accumulator<T>;
  const int64_t r = int64_t{blockIdx.x} * (kThreads / Lanes) + threadIdx.x / Lanes;
  // Heads of a token are contiguous in memory and read by neighbouring threads, so that loads coalesce.
  const int64_t h = r % H, token = r / H % L, b = r / H / L;
  A sum = 0;
  if (r < rows) {
    const T* own_x = cuda::head_rows(x, b, h) + token * x.token;
    const T* own_y = cuda::head_rows(y, b, h) + token * y.token;
    for (int d = static_cast<int>(threadIdx.x) % Lanes * N; d < D; d += Lanes * N) {
      const auto vx = cuda::load_pack<N>(own_x + d), vy = cuda::load_pack<N>(own_y + d);
#pragma unroll
      for (int i = 0; i < N; ++i) { sum += static_cast<A>(vx.v[i]) * static_cast<A>(vy.v[i]); }
    }
  }
  sum = cuda::lanes_reduce<Lanes>(sum, cuda::Plus{});
  if (r < rows && threadIdx.x % Lanes == 0) { out[(b * H + h) * L + token] = Finish()(sum); }
}

template <class T>
bool rows_are_aligned(const AttentionRows<T>& rows) {
  constexpr int64_t kPack = cuda::kPackOf<std::remove_const_t<T>>;
  return cuda::are_pack_aligned(rows.data) && rows.batch % kPack == 0 && rows.token % kPack == 0 &&
         rows.head % kPack == 0;
}

template <class Finish, class T>
void launch_row_sums(const char* name, const AttentionProblem& p, AttentionRows<const T> x, AttentionRows<const T> y,
                     int64_t L, Accumulator<T>* out) {
  const int64_t rows = p.B * p.H * L;
  const auto run = [&](auto lanes, auto pack) {
    cuda::launch(name, row_sums<lanes(), pack(), Finish, T>,
                 cuda::Grid(cuda::blocks_for(rows, kThreads / lanes()), kThreads), x, y, out, rows,
                 static_cast<int>(p.H), static_cast<int>(L), static_cast<int>(p.D));
  };
  constexpr int kPack = cuda::kPackOf<T>;
  if (rows_are_aligned(x) && rows_are_aligned(y) && p.D % kPack == 0) {
    run(std::integral_constant<int, 8>{}, std::integral_constant<int, kPack>{});
  } else {
    run(std::integral_constant<int, cuda::kWarpSize>{}, std::integral_constant<int, 1>{});
  }
}

/// out (heads) = the sum of each head's `tiles` parts.
template <class A>
__global__ void __launch_bounds__(kThreads) add_parts(const A* parts, A* out, int64_t heads, int tiles) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= heads) { return; }
  A sum = 0;
  for (int t = 0; t < tiles; ++t) { sum += parts[i * tiles + t]; }
  out[i] = sum;
}

/// Whether the tensor cores' kernels take these rows.
template <class... Rows>
bool fits_tensor_cores(const AttentionProblem& p, const Rows&... rows) {
  return p.D == 64 && p.scale > 0 && (... && rows_are_aligned(rows));
}

AttentionScales scales_of(const AttentionProblem& p) {
  if (p.block_count > cuda::kMaxScales) {
    throw ConfigError(cat("attention: CUDA's kernels take up to ", cuda::kMaxScales, " scales, got ", p.block_count));
  }
  AttentionScales scales{};
  scales.count = static_cast<int>(p.block_count);
  for (int s = 0; s < scales.count; ++s) {
    scales.query_end[s] = static_cast<int>(p.blocks[s].query_end);
    scales.key_end[s] = static_cast<int>(p.blocks[s].key_end);
  }
  return scales;
}

/// A call, with the norms that it points to.
template <class T>
struct Prepared {
  using A = Accumulator<T>;
  cuda::Scratch norms;
  AttentionCall<T> call{};

  Prepared(const AttentionProblem& p, AttentionRows<const T> q, AttentionRows<const T> k, AttentionRows<const T> v,
           const A* head_factor)
      : norms(head_factor ? sizeof(A) * static_cast<size_t>(p.B * p.H * (p.Lq + p.Lk)) : 0) {
    call.B = static_cast<int>(p.B);
    call.H = static_cast<int>(p.H);
    call.Lq = static_cast<int>(p.Lq);
    call.Lk = static_cast<int>(p.Lk);
    call.D = static_cast<int>(p.D);
    call.scale = static_cast<A>(p.scale);
    call.scales = scales_of(p);
    call.q = q;
    call.k = k;
    call.v = v;
    call.head_factor = head_factor;
    if (!head_factor) { return; }
    A* query_norms = norms.template as<A>();
    A* key_norms = query_norms + p.B * p.H * p.Lq;
    launch_row_sums<InverseNormOf, T>("attention norms", p, q, q, p.Lq, query_norms);
    launch_row_sums<InverseNormOf, T>("attention norms", p, k, k, p.Lk, key_norms);
    call.query_norms = query_norms;
    call.key_norms = key_norms;
  }
};

template <class T>
void forward(const AttentionProblem& p, AttentionRows<const T> q, AttentionRows<const T> k, AttentionRows<const T> v,
             const Accumulator<T>* head_factor, AttentionRows<T> y, Accumulator<T>* lse,
             Accumulator<T>* /*workspace*/) {
  Prepared<T> prepared(p, q, k, v, head_factor);
  AttentionCall<T>& call = prepared.call;
  call.y = y;
  call.lse_out = lse;
  if constexpr (std::is_same_v<T, BFloat16>) {
    if (fits_tensor_cores(p, q, k, v, y)) { return cuda::mma_attention_forward(call); }
  }
  cuda::general_attention_forward(call);
}

template <class T>
void backward(const AttentionProblem& p, AttentionRows<const T> q, AttentionRows<const T> k, AttentionRows<const T> v,
              const Accumulator<T>* head_factor, AttentionRows<const T> y, const Accumulator<T>* lse,
              AttentionRows<const T> dy, AttentionRows<T> dq, AttentionRows<T> dk, AttentionRows<T> dv,
              Accumulator<T>* dlog_factor, Accumulator<T>* /*workspace*/) {
  using A = Accumulator<T>;
  Prepared<T> prepared(p, q, k, v, head_factor);
  AttentionCall<T>& call = prepared.call;
  const bool on_tensor_cores = std::is_same_v<T, BFloat16> && fits_tensor_cores(p, q, k, v, dy, dq, dk, dv);
  const int tiles =
      on_tensor_cores ? cuda::mma_query_tiles(call.scales) : cuda::query_tiles(call.scales, cuda::kGeneralQueryTile<T>);
  const cuda::Scratch dots(sizeof(A) * static_cast<size_t>(p.B * p.H * p.Lq));
  const cuda::Scratch parts(dlog_factor ? sizeof(A) * static_cast<size_t>(p.B * p.H * tiles) : 0);
  launch_row_sums<DotOf, T>("attention dots", p, y, dy, p.Lq, dots.as<A>());
  call.lse = lse;
  call.dots = dots.as<A>();
  call.dy = dy;
  call.dq = dq;
  call.dk = dk;
  call.dv = dv;
  call.dlog_parts = dlog_factor ? parts.as<A>() : nullptr;
  if constexpr (std::is_same_v<T, BFloat16>) {
    if (on_tensor_cores) { cuda::mma_attention_backward(call); }
  }
  if (!on_tensor_cores) { cuda::general_attention_backward(call); }
  if (!dlog_factor) { return; }
  cuda::launch("attention factors", add_parts<A>, cuda::Grid(cuda::blocks_for(p.B * p.H, kThreads), kThreads),
               parts.as<A>(), dlog_factor, p.B * p.H, tiles);
}

TERRACE_REGISTER_FLOATS(attention_forward, forward);
TERRACE_REGISTER_FLOATS(attention_backward, backward);

}  // namespace
}  // namespace terrace
