// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): a counter-based generator.
// Draw i of a stream is a pure function of (seed, stream, i): it does not depend on batch size, thread count or
// device. The tables of the paper's reference implementation are checked in tests/tensor/random.cpp.
#pragma once

#include <cstdint>

#include "tensor/base/philox.h"
#include "tensor/tensor.h"

namespace terrace {

/// A position in a stream of draws. Filling a tensor consumes one draw per element and moves `offset` on.
struct Generator {
  uint64_t seed = 0;
  uint64_t stream = 0;
  uint64_t offset = 0;

  explicit Generator(uint64_t seed_ = 0, uint64_t stream_ = 0) : seed(seed_), stream(stream_) {}
  uint32_t next_u32();                // one draw
  double next_uniform();              // [0, 1), 24 bits, one draw
  int64_t next_below(int64_t bound);  // uniform in [0, bound), one draw, two where bound > 2^32
};

/// The generator that dropout and the initialisers use where none is given. Programs seed it from --seed. There is one
/// in the process and it is not synchronised: a single thread at a time may draw from it or seed it, and only then is
/// what it gives reproducible. Other threads draw from Generators of their own, with another seed or stream.
Generator& default_generator();

/// While it lives, kernels of dropout and its kin on the key's device read seed and stream from `key`, i64 (2), when
/// they run, in place of this thread's default_generator(), whose offsets count on: recorded work
/// (tensor/device/device_graph.h) so draws at each replay from what was written there before.
class DrawKey {
 public:
  explicit DrawKey(const Tensor& key);
  ~DrawKey();
  DrawKey(const DrawKey&) = delete;
  DrawKey& operator=(const DrawKey&) = delete;

 private:
  Tensor previous_;
};
/// The key that work of `device` reads; undefined where there is none.
Tensor draw_key(Device device);

/// In [low, high): never `high` itself, also where a value beside it rounds to it in t's type. `low` where low >= high.
void uniform_(Tensor& t, double low, double high, Generator& g);
void normal_(Tensor& t, double mean, double std, Generator& g);  // by the inverse distribution function
/// Normal, values outside [low, high] cut by inverse transform sampling as in torch.nn.init.trunc_normal_.
void trunc_normal_(Tensor& t, double mean, double std, double low, double high, Generator& g);

Tensor randn(const Shape& shape, Generator& g, DType dtype = DType::kF32);
Tensor rand(const Shape& shape, Generator& g, DType dtype = DType::kF32);
Tensor randint(int64_t bound, const Shape& shape, Generator& g);  // i64
/// A permutation of 0..count-1 (Fisher-Yates).
std::vector<int64_t> random_permutation(int64_t count, Generator g);

}  // namespace terrace
