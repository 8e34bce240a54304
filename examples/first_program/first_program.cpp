// A first program with Terrace: an op of one's own whose gradient is checked, a small network that learns with it, and
// what reaches the position table of a VAR transformer. README.md beside it says how it is built.
#include <cmath>
#include <cstdio>
#include <exception>

#include "autograd/functions.h"
#include "autograd/gradcheck.h"
#include "autograd/node.h"
#include "nn/layers.h"
#include "nn/optim.h"
#include "tensor/random.h"
#include "tensor/reduce.h"
#include "var/transformer/transformer.h"

using namespace terrace;

// --- 1. An op: y = x exp(-x^2 / 2), dx = dy (1 - x^2) exp(-x^2 / 2) ---

/// f(x, g) of every element; `g` may be any tensor of x's shape.
template <class F>
Tensor map_elements(const Tensor& x, const Tensor& g, const F& f) {
  const Tensor xs = x.contiguous(), gs = g.contiguous();
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  visit_floating(x.dtype(), "bump", [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < x.numel(); ++i) { y.data<T>()[i] = T(f(double(xs.data<T>()[i]), double(gs.data<T>()[i]))); }
  });
  return y;
}

Variable bump(const Variable& x) {
  const Tensor y = map_elements(x.value(), x.value(), [](double v, double) { return v * std::exp(-v * v / 2); });
  return record("bump", y, {x}, [x = Saved(x)](const Tensor& dy) -> Gradients {
    return {map_elements(x.get("bump"), dy, [](double v, double d) { return d * (1 - v * v) * std::exp(-v * v / 2); })};
  });
}

void check_the_op() {
  Generator g(1);
  gradcheck("bump", [](const std::vector<Variable>& in) { return bump(in[0]); }, {randn({4, 5}, g, DType::kF64)});
  std::printf("bump: its gradient agrees with finite differences\n");
}

// --- 2. A network: is a point of the square inside the ring? ---

class Mlp : public Module {
 public:
  explicit Mlp(Generator& g) : hidden(2, 32, Bias::kYes, g), out(32, 2, Bias::kYes, g) {
    register_module("hidden", hidden);
    register_module("out", out);
  }
  Variable operator()(const Variable& x) const { return out(bump(hidden(x))); }

  Linear hidden, out;
};

double train_the_network() {
  constexpr int64_t kPoints = 512, kSteps = 300;
  Generator g(2);
  Tensor points = Tensor::empty({kPoints, 2}), inside = Tensor::empty({kPoints}, DType::kI64);
  uniform_(points, -1, 1, g);
  for (int64_t i = 0; i < kPoints; ++i) {
    const float* p = points.data<float>() + 2 * i;
    const double radius = std::hypot(p[0], p[1]);
    inside.data<int64_t>()[i] = radius > 0.4 && radius < 0.9 ? 1 : 0;
  }
  Mlp net(g);
  AdamW optimizer(decay_groups(net.named_parameters(), {}));
  double accuracy = 0;
  for (int64_t step = 0; step <= kSteps; ++step) {
    const Variable logits = net(Variable(points));
    const Variable loss = mean(cross_entropy(logits, inside));
    const std::vector<int64_t> guess = argmax(logits.value(), 1).to_vector<int64_t>();
    int64_t right = 0;
    for (int64_t i = 0; i < kPoints; ++i) { right += guess[size_t(i)] == inside.data<int64_t>()[i] ? 1 : 0; }
    accuracy = double(right) / kPoints;
    if (step % 100 == 0) {
      std::printf("step %3d  loss %.4f  accuracy %.3f\n", int(step), loss.item<double>(), accuracy);
    }
    loss.backward();
    optimizer.clipped_step(0.02, 1e-4, 1);
    optimizer.zero_grad();
  }
  return accuracy;
}

// --- 3. The gradient of a VAR's position table, pos_1LC, scale by scale ---

void show_position_gradients() {
  VarConfig config;
  config.depth = 2;
  config.embed_dim = 32;
  config.num_heads = 2;
  config.patch_nums = {1, 2, 3, 4};
  config.vocab_size = 64;
  config.Cvae = 8;
  config.num_classes = 10;
  Generator g(3);
  VarTransformer model(config, g);
  const Pyramid& pyramid = model.pyramid();
  const int64_t B = 2, L = pyramid.length();
  const Tensor labels = randint(config.num_classes, {B}, g), codes = randint(config.vocab_size, {B, L}, g);
  const Variable input(randn({B, L - pyramid.end(0), config.Cvae}, g));  // of a tokenizer, in earnest
  mean(cross_entropy(model.forward(labels, input), codes)).backward();
  const Tensor& gradient = model.parameter("pos_1LC").grad();  // (1, L, C)
  for (int64_t s = 0; s < pyramid.scales(); ++s) {
    const double norm = std::sqrt(squared_norm(gradient.slice(1, pyramid.begin(s), pyramid.end(s)).contiguous()));
    std::printf("pos_1LC, scale %dx%d: gradient norm %.5f\n", int(pyramid.patch(s)), int(pyramid.patch(s)), norm);
  }
}

int main() {
  try {
    check_the_op();
    const double accuracy = train_the_network();
    show_position_gradients();
    return accuracy > 0.95 ? 0 : 1;
  } catch (const std::exception& error) {  // ShapeError, AutogradError ... say what was expected and what came
    std::fprintf(stderr, "first_program: %s\n", error.what());
    return 2;
  }
}
