// The estimate of a step's memory against the peak that is measured: never more, and no less than a quarter of it.
#include "var/step_memory.h"

#include "autograd/functions.h"
#include "nn/optim.h"
#include "tensor/device/allocator.h"
#include "tests/support.h"
#include "tests/var/small_models.h"
#include "var/tokenizer/vqvae.h"
#include "var/transformer/transformer.h"

namespace terrace {
namespace {

void expect_bound(double estimate, double measured, const std::string& name) {
  EXPECT_LE(estimate, measured) << name;
  EXPECT_GE(estimate, measured / 4) << name;
}

TEST(StepMemory, OfATransformerIsBelowThePeak) {
  for (const auto& [depth, width, batch] :
       {std::tuple(2, 64, 2), std::tuple(4, 64, 16), std::tuple(2, 256, 8), std::tuple(8, 32, 4)}) {
    for (const bool recompute : {false, true}) {
      VarConfig config = var_preset32();
      config.depth = depth;
      config.embed_dim = width;
      config.vocab_size = 256;
      release_cached_memory();
      const double before = static_cast<double>(memory_stats().live);
      reset_peak_memory();
      Generator g(1);
      VarTransformer model(config, g);
      AdamW optimizer(decay_groups(model.named_parameters(), {}), {});
      const Tensor tokens = randint(256, {batch, config.length()}, g);
      const Variable input(Tensor::zeros({batch, config.length() - 1, config.Cvae}));
      const Variable logits = model.forward(Tensor::zeros({batch}, DType::kI64), input,
                                            recompute ? Recompute::kBlocks : Recompute::kNothing);
      mean(cross_entropy(logits, tokens)).backward();
      const double peak = static_cast<double>(memory_stats().peak) - before;
      expect_bound(step_memory(config, 4, recompute).of(batch), peak,
                   cat("depth ", depth, ", width ", width, ", batch ", batch, recompute ? ", recomputed" : ""));
    }
  }
}

TEST(StepMemory, OfATokenizerIsBelowThePeak) {
  for (const auto& [ch, batch] : {std::pair(8, 4), std::pair(32, 2), std::pair(32, 16), std::pair(64, 4)}) {
    VqvaeConfig config = vqvae_preset32();
    config.ch = ch;
    config.norm_groups = 8;
    const double before = static_cast<double>(memory_stats().live);
    reset_peak_memory();
    Generator g(1);
    Vqvae model(config, g);
    AdamW optimizer(decay_groups(model.named_parameters(), {}), {});
    const Vqvae::Output out = model.forward(Variable(Tensor::zeros({batch, 3, 32, 32})));
    add(mean(square(out.reconstruction)), out.quantized.vq_loss).backward();
    const double peak = static_cast<double>(memory_stats().peak) - before;
    expect_bound(step_memory(config).of(batch), peak, cat("ch ", ch, ", batch ", batch));
  }
}

}  // namespace
}  // namespace terrace
