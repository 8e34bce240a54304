#include "var/positions/positional_encoding.h"

#include <cmath>

#include "autograd/functions.h"
#include "nn/init.h"
#include "nn/positional.h"
#include "tensor/pointwise.h"
#include "tensor/reduce.h"

namespace terrace {
namespace {

class LearnedTable : public PositionalEncoding {
 public:
  explicit LearnedTable(Variable table) { learned_ = std::move(table); }
  Variable table() override { return learned_; }
};

class FixedTable : public PositionalEncoding {
 public:
  explicit FixedTable(Tensor table) { fixed_ = std::move(table); }
  Variable table() override { return Variable(fixed_); }
};

class MixedTable : public PositionalEncoding {
 public:
  MixedTable(Variable learned, Tensor fixed, double weight) : weight_(weight) {
    learned_ = std::move(learned);
    fixed_ = std::move(fixed);
  }
  Variable table() override { return scale(learned_, weight_) + Variable(terrace::scale(fixed_, 1 - weight_)); }
  std::vector<TableSummary> summary() override {
    NoGrad no_grad;
    return {{"learned part", weight_ * root_mean_square(learned_.value()), true},
            {"fixed part", (1 - weight_) * root_mean_square(fixed_), false},
            {"sum", root_mean_square(table().value()), true}};
  }

 private:
  double weight_;
};

class NoTable : public PositionalEncoding {
 public:
  Variable table() override { return {}; }
  std::vector<TableSummary> summary() override { return {}; }
};

enum class Layout : uint8_t { kFlat, kGrid };

Tensor sinusoid_table(Layout layout, const Pyramid& pyramid, int64_t C) {
  const int64_t multiple = layout == Layout::kFlat ? 2 : 4;
  if (C % multiple != 0) {
    throw ConfigError(cat("positional encoding: a sinusoid-", layout == Layout::kFlat ? 1 : 2,
                          "d table needs channels in multiples of ", multiple, ", got ", C));
  }
  const Tensor table = layout == Layout::kFlat ? pyramid_sinusoid_1d(pyramid.patch_nums(), C)
                                               : pyramid_sinusoid_2d(pyramid.patch_nums(), C);
  return table.view({1, pyramid.length(), C});
}

Tensor scaled(Tensor table, const PositionalConfig& config) {
  const double factor = config.rms > 0 ? config.rms / root_mean_square(table) : config.scale;
  if (factor != 1) { scale_(table, factor); }
  return table;
}

Variable learned_table(PositionalKind kind, int64_t L, int64_t C, Generator& g) {
  Variable table(Tensor::empty({L, C}), Requires::kGrad);
  if (kind == PositionalKind::kLearnedXavier) {
    xavier_uniform_(table, 1.0, g);
  } else {
    trunc_normal_(table, std::sqrt(1.0 / static_cast<double>(3 * C)), g);
  }
  return Variable(table.value().view({1, L, C}), Requires::kGrad);
}

}  // namespace

double root_mean_square(const Tensor& t) {
  return t.numel() == 0 ? 0 : std::sqrt(squared_norm(t) / static_cast<double>(t.numel()));
}

std::vector<TableSummary> PositionalEncoding::summary() {
  if (learned_.defined()) { return {{"learned", root_mean_square(learned_.value()), true}}; }
  return {{"fixed", root_mean_square(fixed_), false}};
}

std::unique_ptr<PositionalEncoding> make_positional_encoding(const PositionalConfig& config, const Pyramid& pyramid,
                                                             int64_t channels, Generator& generator) {
  const int64_t L = pyramid.length();
  switch (config.kind) {
    case PositionalKind::kLearned:
    case PositionalKind::kLearnedXavier:
      return std::make_unique<LearnedTable>(learned_table(config.kind, L, channels, generator));
    case PositionalKind::kSinusoid1d:
      return std::make_unique<FixedTable>(scaled(sinusoid_table(Layout::kFlat, pyramid, channels), config));
    case PositionalKind::kSinusoid2d:
      return std::make_unique<FixedTable>(scaled(sinusoid_table(Layout::kGrid, pyramid, channels), config));
    case PositionalKind::kMixed:
      return std::make_unique<MixedTable>(learned_table(config.kind, L, channels, generator),
                                          scaled(sinusoid_table(Layout::kGrid, pyramid, channels), config),
                                          config.learned_weight);
    case PositionalKind::kNone:
      return std::make_unique<NoTable>();
  }
  throw ConfigError("positional encoding: corrupt kind");
}

}  // namespace terrace
