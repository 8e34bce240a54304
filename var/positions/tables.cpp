#include "var/positions/tables.h"

#include <cmath>

#include "tensor/pointwise.h"
#include "tensor/reduce.h"

namespace terrace {

double root_mean_square(const Tensor& t) {
  return t.numel() == 0 ? 0 : std::sqrt(squared_norm(t) / static_cast<double>(t.numel()));
}

std::vector<TableSummary> PositionalEncoding::summary() const {
  const NoGrad no_grad;
  const Variable whole = table();
  if (!whole.defined()) { return {}; }
  const bool learned = !named_parameters().empty();
  return {{learned ? "learned" : "fixed", root_mean_square(whole.value()), learned}};
}

std::vector<TableSummary> table_summary(const PositionalEncoding& positions, const Tensor& start,
                                        const Tensor& levels) {
  std::vector<TableSummary> rows;
  for (const TableSummary& row : positions.summary()) {
    rows.push_back({"positions: " + row.name, row.rms, row.learned});
  }
  rows.push_back({"pos_start", root_mean_square(start), true});
  if (levels.defined()) { rows.push_back({"lvl_embed", root_mean_square(levels), true}); }
  return rows;
}

Tensor scaled(Tensor table, const PositionalConfig& positions) {
  const double factor = positions.rms > 0 ? positions.rms / root_mean_square(table) : positions.scale;
  if (factor != 1) { scale_(table, factor); }
  return table;
}

FixedTable::FixedTable(Tensor table) : table_(std::move(table)) { register_buffer(kFixedTable, table_); }

}  // namespace terrace
