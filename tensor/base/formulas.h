// Every pointwise function, once. A struct has f(x), its derivative, what that reads, a name and the range that tests
// sample from (away from kinks and poles). The CPU loop, the autograd node, and the tests expand from the two lists at
// the end; to add a function, write its struct, put it in its list, give it a public name in autograd/ops/pointwise.h,
// and its definition in terms of the C++ library in tests/tensor/pointwise_oracle.h.
//
// T is float or double. df gets x and y = f(x), so that a derivative can use whichever is cheaper.
#pragma once

#include <cstdint>
#include <tuple>

#include "tensor/base/host_device.h"
#include "tensor/base/math.h"

namespace terrace {

struct SampleRange {
  double low, high;
};

/// Which tensors a derivative reads: the graph keeps these until backward and lets go of the others.
enum class Reads : uint8_t { kNothing = 0, kX = 1, kY = 2, kA = 1, kB = 2, kAB = 3 };
constexpr bool reads(Reads derivative, Reads tensor) {
  return (static_cast<unsigned>(derivative) & static_cast<unsigned>(tensor)) != 0;
}

// ----- Functions of one argument ------------------------------------------------------------------------------------

struct Exp {
  static constexpr const char* kName = "exp";
  static constexpr SampleRange kRange{-3, 3};
  static constexpr Reads kReads = Reads::kY;
  template <class T>
  TERRACE_HD T f(T x) const {
    return math::exp(x);
  }
  template <class T>
  TERRACE_HD T df(T, T y) const {
    return y;
  }
};

struct Log {
  static constexpr const char* kName = "log";
  static constexpr SampleRange kRange{0.1, 5};
  static constexpr Reads kReads = Reads::kX;
  template <class T>
  TERRACE_HD T f(T x) const {
    return math::log(x);
  }
  template <class T>
  TERRACE_HD T df(T x, T) const {
    return T(1) / x;
  }
};

struct Sqrt {
  static constexpr const char* kName = "sqrt";
  static constexpr SampleRange kRange{0.1, 5};
  static constexpr Reads kReads = Reads::kY;
  template <class T>
  TERRACE_HD T f(T x) const {
    return math::sqrt(x);
  }
  template <class T>
  TERRACE_HD T df(T, T y) const {
    return T(0.5) / y;
  }
};

struct Square {
  static constexpr const char* kName = "square";
  static constexpr SampleRange kRange{-3, 3};
  static constexpr Reads kReads = Reads::kX;
  template <class T>
  TERRACE_HD T f(T x) const {
    return x * x;
  }
  template <class T>
  TERRACE_HD T df(T x, T) const {
    return T(2) * x;
  }
};

struct Neg {
  static constexpr const char* kName = "neg";
  static constexpr SampleRange kRange{-3, 3};
  static constexpr Reads kReads = Reads::kNothing;
  template <class T>
  TERRACE_HD T f(T x) const {
    return -x;
  }
  template <class T>
  TERRACE_HD T df(T, T) const {
    return T(-1);
  }
};

/// |x|, derivative sign(x), 0 at 0.
struct Abs {
  static constexpr const char* kName = "abs";
  static constexpr SampleRange kRange{0.1, 3};
  static constexpr Reads kReads = Reads::kX;
  template <class T>
  TERRACE_HD T f(T x) const {
    return x < T(0) ? -x : x;
  }
  template <class T>
  TERRACE_HD T df(T x, T) const {
    return T(x > T(0)) - T(x < T(0));
  }
};

struct Tanh {
  static constexpr const char* kName = "tanh";
  static constexpr SampleRange kRange{-3, 3};
  static constexpr Reads kReads = Reads::kY;
  template <class T>
  TERRACE_HD T f(T x) const {
    return math::tanh(x);
  }
  template <class T>
  TERRACE_HD T df(T, T y) const {
    return T(1) - y * y;
  }
};

/// 1 / (1 + e^-x).
struct Sigmoid {
  static constexpr const char* kName = "sigmoid";
  static constexpr SampleRange kRange{-4, 4};
  static constexpr Reads kReads = Reads::kY;
  template <class T>
  TERRACE_HD T f(T x) const {
    return T(1) / (T(1) + math::exp(-x));
  }
  template <class T>
  TERRACE_HD T df(T, T y) const {
    return y * (T(1) - y);
  }
};

/// x * sigmoid(x), also called swish.
struct Silu {
  static constexpr const char* kName = "silu";
  static constexpr SampleRange kRange{-4, 4};
  static constexpr Reads kReads = Reads::kX;
  template <class T>
  TERRACE_HD T f(T x) const {
    return x / (T(1) + math::exp(-x));
  }
  template <class T>
  TERRACE_HD T df(T x, T) const {
    const T s = T(1) / (T(1) + math::exp(-x));
    return s * (T(1) + x * (T(1) - s));
  }
};

/// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))): the approximation that VAR's MLP uses.
/// Written as x * sigmoid(2u), which is the same number and needs one exponential and one division.
struct GeluTanh {
  static constexpr const char* kName = "gelu_tanh";
  static constexpr SampleRange kRange{-4, 4};
  static constexpr Reads kReads = Reads::kX;
  template <class T>
  TERRACE_HD T f(T x) const {
    return x / (T(1) + math::exp(-argument(x)));
  }
  template <class T>
  TERRACE_HD T df(T x, T) const {
    const T s = T(1) / (T(1) + math::exp(-argument(x)));
    const T slope = T(2 * 0.7978845608028653559) * (T(1) + T(3 * 0.044715) * x * x);
    return s * (T(1) + x * (T(1) - s) * slope);
  }

 private:
  template <class T>
  TERRACE_HD static T argument(T x) {
    return T(2 * 0.7978845608028653559) * x * (T(1) + T(0.044715) * x * x);
  }
};

/// 0.5 x (1 + erf(x / sqrt 2)).
struct GeluErf {
  static constexpr const char* kName = "gelu_erf";
  static constexpr SampleRange kRange{-4, 4};
  static constexpr Reads kReads = Reads::kX;
  template <class T>
  TERRACE_HD T f(T x) const {
    return T(0.5) * x * (T(1) + math::erf(x * T(0.70710678118654752440)));
  }
  template <class T>
  TERRACE_HD T df(T x, T) const {
    const T cdf = T(0.5) * (T(1) + math::erf(x * T(0.70710678118654752440)));
    return cdf + x * T(0.39894228040143267794) * math::exp(T(-0.5) * x * x);
  }
};

/// max(x, 0), derivative 0 at 0; NaN propagates. y is positive where x is.
struct Relu {
  static constexpr const char* kName = "relu";
  static constexpr SampleRange kRange{0.1, 3};
  static constexpr Reads kReads = Reads::kY;
  template <class T>
  TERRACE_HD T f(T x) const {
    return x < T(0) ? T(0) : x;
  }
  template <class T>
  TERRACE_HD T df(T, T y) const {
    return y > T(0) ? T(1) : T(0);
  }
};

struct LeakyRelu {
  static constexpr const char* kName = "leaky_relu";
  static constexpr SampleRange kRange{-3, -0.1};
  static constexpr Reads kReads = Reads::kX;
  double slope = 0.01;
  template <class T>
  TERRACE_HD T f(T x) const {
    return x < T(0) ? T(slope) * x : x;
  }
  template <class T>
  TERRACE_HD T df(T x, T) const {
    return x > T(0) ? T(1) : T(slope);
  }
};

/// min(max(x, low), high); the derivative is 1 from low to high inclusive, as PyTorch has it.
struct Clamp {
  static constexpr const char* kName = "clamp";
  static constexpr SampleRange kRange{-0.45, 0.45};
  static constexpr Reads kReads = Reads::kX;
  double low = -0.5, high = 0.5;
  template <class T>
  TERRACE_HD T f(T x) const {
    const T floored = x < T(low) ? T(low) : x;
    return floored > T(high) ? T(high) : floored;
  }
  template <class T>
  TERRACE_HD T df(T x, T) const {
    return T(x >= T(low)) * T(x <= T(high));
  }
};

/// x * factor.
struct Scale {
  static constexpr const char* kName = "scale";
  static constexpr SampleRange kRange{-3, 3};
  static constexpr Reads kReads = Reads::kNothing;
  double factor = 1.5;
  template <class T>
  TERRACE_HD T f(T x) const {
    return x * T(factor);
  }
  template <class T>
  TERRACE_HD T df(T, T) const {
    return T(factor);
  }
};

/// x + term.
struct AddScalar {
  static constexpr const char* kName = "add_scalar";
  static constexpr SampleRange kRange{-3, 3};
  static constexpr Reads kReads = Reads::kNothing;
  double term = 0.5;
  template <class T>
  TERRACE_HD T f(T x) const {
    return x + T(term);
  }
  template <class T>
  TERRACE_HD T df(T, T) const {
    return T(1);
  }
};

// ----- Functions of two arguments; da and db are the partial derivatives, kReadsA and kReadsB what they read ---------

struct Add {
  static constexpr const char* kName = "add";
  static constexpr SampleRange kRange{-3, 3};
  static constexpr Reads kReadsA = Reads::kNothing, kReadsB = Reads::kNothing;
  template <class T>
  TERRACE_HD T f(T a, T b) const {
    return a + b;
  }
  template <class T>
  TERRACE_HD T da(T, T) const {
    return T(1);
  }
  template <class T>
  TERRACE_HD T db(T, T) const {
    return T(1);
  }
};

struct Sub {
  static constexpr const char* kName = "sub";
  static constexpr SampleRange kRange{-3, 3};
  static constexpr Reads kReadsA = Reads::kNothing, kReadsB = Reads::kNothing;
  template <class T>
  TERRACE_HD T f(T a, T b) const {
    return a - b;
  }
  template <class T>
  TERRACE_HD T da(T, T) const {
    return T(1);
  }
  template <class T>
  TERRACE_HD T db(T, T) const {
    return T(-1);
  }
};

struct Mul {
  static constexpr const char* kName = "mul";
  static constexpr SampleRange kRange{-3, 3};
  static constexpr Reads kReadsA = Reads::kB, kReadsB = Reads::kA;
  template <class T>
  TERRACE_HD T f(T a, T b) const {
    return a * b;
  }
  template <class T>
  TERRACE_HD T da(T, T b) const {
    return b;
  }
  template <class T>
  TERRACE_HD T db(T a, T) const {
    return a;
  }
};

struct Div {
  static constexpr const char* kName = "div";
  static constexpr SampleRange kRange{0.3, 3};
  static constexpr Reads kReadsA = Reads::kB, kReadsB = Reads::kAB;
  template <class T>
  TERRACE_HD T f(T a, T b) const {
    return a / b;
  }
  template <class T>
  TERRACE_HD T da(T, T b) const {
    return T(1) / b;
  }
  template <class T>
  TERRACE_HD T db(T a, T b) const {
    return -a / (b * b);
  }
};

/// max(a, b); where they are equal each gets half of the gradient. NaN propagates.
struct Maximum {
  static constexpr const char* kName = "maximum";
  static constexpr SampleRange kRange{-3, 3};
  static constexpr Reads kReadsA = Reads::kAB, kReadsB = Reads::kAB;
  template <class T>
  TERRACE_HD T f(T a, T b) const {
    return (a > b || a != a) ? a : b;
  }
  template <class T>
  TERRACE_HD T da(T a, T b) const {
    return T(0.5) * (T(a > b) + T(a >= b));
  }
  template <class T>
  TERRACE_HD T db(T a, T b) const {
    return T(0.5) * (T(b > a) + T(b >= a));
  }
};

/// min(a, b); where they are equal each gets half of the gradient. NaN propagates.
struct Minimum {
  static constexpr const char* kName = "minimum";
  static constexpr SampleRange kRange{-3, 3};
  static constexpr Reads kReadsA = Reads::kAB, kReadsB = Reads::kAB;
  template <class T>
  TERRACE_HD T f(T a, T b) const {
    return (a < b || a != a) ? a : b;
  }
  template <class T>
  TERRACE_HD T da(T a, T b) const {
    return T(0.5) * (T(a < b) + T(a <= b));
  }
  template <class T>
  TERRACE_HD T db(T a, T b) const {
    return T(0.5) * (T(b < a) + T(b <= a));
  }
};

using UnaryOps = std::tuple<Exp, Log, Sqrt, Square, Neg, Abs, Tanh, Sigmoid, Silu, GeluTanh, GeluErf, Relu, LeakyRelu,
                            Clamp, Scale, AddScalar>;
using BinaryOps = std::tuple<Add, Sub, Mul, Div, Maximum, Minimum>;

/// Calls f(Op{}) for every op of a list.
template <class List, class F>
void for_each_op(F&& f) {
  std::apply([&](auto... op) { (f(op), ...); }, List{});
}

}  // namespace terrace
