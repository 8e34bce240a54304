// learned: a table of parameters, trunc-normal with standard deviation sqrt(1/(3C)) as in the official models.
// learned-xavier: the same, Xavier-uniform over the matrix (L, C).
#include <cmath>

#include "nn/init.h"
#include "var/positions/tables.h"

namespace terrace {
namespace {

class LearnedTable : public PositionalEncoding {
 public:
  explicit LearnedTable(Variable table) : table_(std::move(table)) { register_parameter(kLearnedTable, table_); }
  Variable table() const override { return table_; }

 private:
  Variable table_;
};

/// (L, C), whose values `initialise` draws, as (1, L, C).
template <class Initialise>
Variable drawn_table(const VarConfig& config, const Initialise& initialise) {
  const int64_t L = config.length(), C = config.embed_dim;
  Variable table(Tensor::empty({L, C}), Requires::kGrad);
  initialise(table);
  return Variable(table.value().view({1, L, C}), Requires::kGrad);
}

}  // namespace

Variable trunc_normal_table(const VarConfig& config, Generator& g) {
  const double std = std::sqrt(1.0 / static_cast<double>(3 * config.embed_dim));
  return drawn_table(config, [&](Variable& table) { trunc_normal_(table, std, g); });
}

std::unique_ptr<PositionalEncoding> make_learned(const VarConfig& config, Generator& g) {
  return std::make_unique<LearnedTable>(trunc_normal_table(config, g));
}

std::unique_ptr<PositionalEncoding> make_learned_xavier(const VarConfig& config, Generator& g) {
  return std::make_unique<LearnedTable>(drawn_table(config, [&](Variable& table) { xavier_uniform_(table, 1.0, g); }));
}

}  // namespace terrace
