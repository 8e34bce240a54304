// One block has a row and goes over its logits once: each thread keeps the largest so far and the sum of exponentials
// relative to it, and rescales the sum where a larger one comes (online softmax). Probabilities are never written:
// backward computes them again from the row's two statistics, and writes the gradient in one pass.
#include "tensor/kernels/cross_entropy.h"

#include "cuda/device/rows.h"
#include "tensor/base/math.h"

namespace terrace {
namespace {

template <class A>
constexpr A kInfinity = std::numeric_limits<A>::infinity();

/// The largest of the logits seen, and the sum of exp(x - largest) over them.
template <class A>
struct OnlineSum {
  A largest = -kInfinity<A>;
  A sum = 0;

  template <class T, int N>
  __device__ void add(const cuda::Pack<T, N>& pack) {
    A top = largest;
#pragma unroll
    for (int k = 0; k < N; ++k) { top = cuda::Largest{}(top, static_cast<A>(pack.v[k])); }
    if (top == -kInfinity<A>) {
      return;  // every logit so far is -inf: the sum stays 0
    }
    A scaled = sum * math::exp(largest - top);
#pragma unroll
    for (int k = 0; k < N; ++k) { scaled += math::exp(static_cast<A>(pack.v[k]) - top); }
    largest = top;
    sum = scaled;
  }
};

template <int Threads, int N, class T>
__global__ void __launch_bounds__(Threads) forward_rows(const T* logits, const int64_t* targets, Accumulator<T>* loss,
                                                        Accumulator<T>* stats, int64_t cols, Accumulator<T> smoothing) {
  using A = Accumulator<T>;
  const T* x = logits + blockIdx.x * cols;
  OnlineSum<A> own;
  cuda::for_row_packs<Threads, N>(cols, [&](int64_t i) { own.add(cuda::load_pack<N>(x + i)); });
  const A largest = cuda::block_max<Threads>(own.largest);
  const A log_sum = math::log(cuda::block_sum<Threads>(own.sum * math::exp(own.largest - largest)));
  A mean_below = 0;
  if (smoothing != A(0)) {  // a second pass over cached logits, relative to the largest, which is known only now
    A below = 0;
    cuda::for_row_packs<Threads, N>(cols, [&](int64_t i) {
      const auto pack = cuda::load_pack<N>(x + i);
#pragma unroll
      for (int k = 0; k < N; ++k) below += largest - static_cast<A>(pack.v[k]);
    });
    mean_below = cuda::block_sum<Threads>(below) / A(cols);
  }
  if (threadIdx.x != 0) { return; }
  const int64_t target = targets[blockIdx.x];
  // A target outside the classes cannot be reported from here: its loss is NaN.
  const bool known = target >= 0 && target < cols;
  const A at_target = known ? log_sum + (largest - static_cast<A>(x[target])) : std::numeric_limits<A>::quiet_NaN();
  loss[blockIdx.x] =
      smoothing == A(0) ? at_target : (A(1) - smoothing) * at_target + smoothing * (log_sum + mean_below);
  stats[2 * blockIdx.x] = largest;
  stats[2 * blockIdx.x + 1] = log_sum;
}

template <int Threads, int N, class T>
__global__ void __launch_bounds__(Threads)
    backward_rows(const T* logits, const int64_t* targets, const Accumulator<T>* stats, const Accumulator<T>* dloss,
                  T* dlogits, int64_t cols, Accumulator<T> spread, Accumulator<T> at_target) {
  using A = Accumulator<T>;
  const T* x = logits + blockIdx.x * cols;
  T* dx = dlogits + blockIdx.x * cols;
  const int64_t target = targets[blockIdx.x];
  const A largest = stats[2 * blockIdx.x], factor = math::exp(-stats[2 * blockIdx.x + 1]), g = dloss[blockIdx.x];
  cuda::for_row_packs<Threads, N>(cols, [&](int64_t i) {
    const auto pack = cuda::load_pack<N>(x + i);
    cuda::Pack<T, N> out;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      A below = math::exp(static_cast<A>(pack.v[k]) - largest) * factor - spread;
      if (i + k == target) below -= at_target;
      out.v[k] = static_cast<T>(g * below);
    }
    cuda::store_pack(dx + i, out);
  });
}

template <class T>
void forward(const T* logits, const int64_t* targets, Accumulator<T>* loss, Accumulator<T>* stats, int64_t rows,
             int64_t cols, double smoothing) {
  cuda::with_row_packs<T>(cols, cuda::are_rows_of_packs(cols, logits), [&](auto threads, auto n) {
    cuda::launch("cross_entropy", forward_rows<threads(), n(), T>, cuda::Grid(rows, threads()), logits, targets, loss,
                 stats, cols, static_cast<Accumulator<T>>(smoothing));
  });
}

template <class T>
void backward(const T* logits, const int64_t* targets, const Accumulator<T>* stats, const Accumulator<T>* dloss,
              T* dlogits, int64_t rows, int64_t cols, double smoothing) {
  using A = Accumulator<T>;
  const auto spread = static_cast<A>(smoothing / static_cast<double>(cols));
  cuda::with_row_packs<T>(cols, cuda::are_rows_of_packs(cols, logits, dlogits), [&](auto threads, auto n) {
    cuda::launch("cross_entropy backward", backward_rows<threads(), n(), T>, cuda::Grid(rows, threads()), logits,
                 targets, stats, dloss, dlogits, cols, spread, static_cast<A>(1 - smoothing));
  });
}

TERRACE_REGISTER_FLOATS(cross_entropy_forward, forward);
TERRACE_REGISTER_FLOATS(cross_entropy_backward, backward);

}  // namespace
}  // namespace terrace
