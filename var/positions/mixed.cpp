// mixed: w learned + (1 - w) sinusoid-2d, with w = `learned_weight` of the configuration.
#include "autograd/functions.h"
#include "tensor/pointwise.h"
#include "var/positions/tables.h"

namespace terrace {
namespace {

class MixedTable : public PositionalEncoding {
 public:
  MixedTable(Variable learned, Tensor fixed, double weight)
      : learned_(std::move(learned)), fixed_(std::move(fixed)), weight_(weight) {
    register_parameter(kLearnedTable, learned_);
    register_buffer(kFixedTable, fixed_);
  }
  Variable table() const override { return scale(learned_, weight_) + Variable(terrace::scale(fixed_, 1 - weight_)); }
  std::vector<TableSummary> summary() const override {
    const NoGrad no_grad;
    return {{"learned part", weight_ * root_mean_square(learned_.value()), true},
            {"fixed part", (1 - weight_) * root_mean_square(fixed_), false},
            {"sum", root_mean_square(table().value()), true}};
  }

 private:
  Variable learned_;
  Tensor fixed_;
  double weight_;
};

}  // namespace

std::unique_ptr<PositionalEncoding> make_mixed(const VarConfig& config, Generator& g) {
  Variable learned = trunc_normal_table(config, g);
  return std::make_unique<MixedTable>(std::move(learned), sinusoid_2d_table(config), config.positions.learned_weight);
}

}  // namespace terrace
