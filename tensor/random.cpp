#include "tensor/random.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <type_traits>

#include "tensor/device/parallel_size.h"
#include "tensor/overlap.h"

namespace terrace {
namespace {

/// Writes value(i-th draw as a 32-bit word) to every element and consumes numel draws.
template <class F>
void fill_from_draws(Tensor& t, Generator& g, const char* op, F&& value) {
  check_writable(t, op);
  const bool in_place = t.is_contiguous() && t.device().is_cpu();
  Tensor target = in_place ? t : Tensor::empty(t.shape(), t.dtype());
  visit_floating(t.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* out = target.data<T>();
    const int64_t n = target.numel();
    const uint64_t begin = g.offset, end = g.offset + static_cast<uint64_t>(n);
    const int64_t first_block = static_cast<int64_t>(begin / 4), last_block = static_cast<int64_t>((end + 3) / 4);
#pragma omp parallel for schedule(static) if (4 * n > kMinParallelElements)
    for (int64_t block = first_block; block < last_block; ++block) {
      const auto words = draw_block(g.seed, g.stream, static_cast<uint64_t>(block));
      for (uint64_t k = 0; k < 4; ++k) {
        const uint64_t index = static_cast<uint64_t>(block) * 4 + k;
        if (index >= begin && index < end) out[index - begin] = static_cast<T>(value(words[k]));
      }
    }
  });
  g.offset += static_cast<uint64_t>(t.numel());
  if (in_place) {
    t.bump_version();
  } else {
    t.copy_(target);
  }
}

/// The next smaller T.
template <class T>
T below(T t) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    constexpr uint16_t kSmallestNegative = 0x8001, kSign = 0x8000;
    BFloat16 next = t;
    next.bits = static_cast<float>(t) == 0 ? kSmallestNegative : t.bits & kSign ? t.bits + 1 : t.bits - 1;
    return next;
  } else {
    return std::nextafter(t, -std::numeric_limits<T>::infinity());
  }
}

/// The largest value of `dtype` that is less than `bound`.
double largest_below(DType dtype, double bound) {
  return visit_floating(dtype, "uniform_", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T nearest = static_cast<T>(bound);
    return static_cast<double>(static_cast<double>(nearest) < bound ? nearest : below(nearest));
  });
}

double normal_cdf(double x) { return 0.5 * std::erfc(-x * M_SQRT1_2); }

/// Inverse of the normal distribution function: P. J. Acklam's rational approximation (relative error 1.15e-9),
/// then one step of Halley's method, which brings it to double precision.
double normal_quantile(double p) {
  static constexpr double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                                 1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  static constexpr double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                                 6.680131188771972e+01, -1.328068155288572e+01};
  static constexpr double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                                 -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
  static constexpr double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                                 3.754408661907416e+00};
  const auto tail = [&](double q) {
    return (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
           ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
  };
  constexpr double kLow = 0.02425;
  double x;
  if (p < kLow) {
    x = tail(std::sqrt(-2 * std::log(p)));
  } else if (p > 1 - kLow) {
    x = -tail(std::sqrt(-2 * std::log1p(-p)));
  } else {
    const double q = p - 0.5, r = q * q;
    x = (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
        (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
  }
  const double e = normal_cdf(x) - p;
  const double u = e * std::sqrt(2 * M_PI) * std::exp(x * x / 2);
  return x - u / (1 + x * u / 2);
}

/// The middle of the draw's interval of width 2^-32: never 0 nor 1.
double to_open_unit(uint32_t word) { return (static_cast<double>(word) + 0.5) * 0x1p-32; }

}  // namespace

uint32_t Generator::next_u32() {
  const uint64_t index = offset++;
  return draw_block(seed, stream, index / 4)[index % 4];
}

double Generator::next_uniform() { return to_unit(next_u32()); }

int64_t Generator::next_below(int64_t bound) {
  if (bound <= 0) { throw IndexError(cat("next_below: the bound must be positive, got ", bound)); }
  // The upper half of draw times bound: bias below bound / 2^32, or with a second draw bound / 2^64.
  const uint64_t first = next_u32();
  if (bound <= int64_t{1} << 32) { return static_cast<int64_t>(first * static_cast<uint64_t>(bound) >> 32); }
  const uint64_t word = first << 32 | next_u32();
  return static_cast<int64_t>(static_cast<unsigned __int128>(word) * static_cast<uint64_t>(bound) >> 64);
}

Generator& default_generator() {
  static Generator generator(0);
  return generator;
}

namespace {
thread_local Tensor current_key;
}

DrawKey::DrawKey(const Tensor& key) : previous_(current_key) {
  check_dtype(key, DType::kI64, "DrawKey", "key");
  check_shape(key, {2}, "DrawKey", "key");
  current_key = key;
}
DrawKey::~DrawKey() { current_key = previous_; }

Tensor draw_key(Device device) {
  return current_key.defined() && current_key.device() == device ? current_key : Tensor();
}

void uniform_(Tensor& t, double low, double high, Generator& g) {
  // Rounding to t's type could reach `high`: values beyond the last one below it become that one.
  const double last = low < high ? largest_below(t.dtype(), high) : low;
  fill_from_draws(t, g, "uniform_", [=](uint32_t word) { return std::fmin(low + (high - low) * to_unit(word), last); });
}

void normal_(Tensor& t, double mean, double std, Generator& g) {
  fill_from_draws(t, g, "normal_", [=](uint32_t word) { return mean + std * normal_quantile(to_open_unit(word)); });
}

void trunc_normal_(Tensor& t, double mean, double std, double low, double high, Generator& g) {
  const double p_low = normal_cdf((low - mean) / std), p_high = normal_cdf((high - mean) / std);
  fill_from_draws(t, g, "trunc_normal_", [=](uint32_t word) {
    const double x = mean + std * normal_quantile(p_low + (p_high - p_low) * to_open_unit(word));
    return x < low ? low : (x > high ? high : x);
  });
}

Tensor randn(const Shape& shape, Generator& g, DType dtype) {
  Tensor t = Tensor::empty(shape, dtype);
  normal_(t, 0, 1, g);
  return t;
}

Tensor rand(const Shape& shape, Generator& g, DType dtype) {
  Tensor t = Tensor::empty(shape, dtype);
  uniform_(t, 0, 1, g);
  return t;
}

Tensor randint(int64_t bound, const Shape& shape, Generator& g) {
  if (bound <= 0) { throw IndexError(cat("randint: the bound must be positive, got ", bound)); }
  Tensor t = Tensor::empty(shape, DType::kI64);
  int64_t* out = t.data<int64_t>();
  for (int64_t i = 0; i < t.numel(); ++i) { out[i] = g.next_below(bound); }
  return t;
}

std::vector<int64_t> random_permutation(int64_t count, Generator g) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (int64_t i = count - 1; i > 0; --i) {
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(g.next_below(i + 1))]);
  }
  return order;
}

}  // namespace terrace
