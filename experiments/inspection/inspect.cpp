#include "experiments/inspection/inspect.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/hdf5/file.h"
#include "experiments/report/image_grid.h"
#include "experiments/study/report.h"
#include "var/positions/encodings.h"
#include "var/pyramid.h"
#include "var/weights/checkpoint.h"
#include "var/weights/load.h"

namespace terrace {
namespace {

Tensor rows_of(const Variable& table, int64_t channels) {
  return table.defined() ? table.value().reshape({-1, channels}).clone() : Tensor();
}

/// What the encoding makes of its parameters' first values; undefined where the file does not hold them.
Tensor initial_table(const PositionalEncoding& encoding, const State& initial, int64_t channels) {
  NamedParameters parameters = encoding.named_parameters();  // handles
  std::vector<Tensor> now;
  for (auto& [name, parameter] : parameters) {
    if (!initial.contains(name)) { return {}; }
    now.push_back(parameter.value());
  }
  for (auto& [name, parameter] : parameters) { parameter.set_value(initial.at(name)); }
  Tensor rows = rows_of(encoding.table(), channels);
  for (size_t i = 0; i < now.size(); ++i) { parameters[i].second.set_value(now[i]); }
  return rows;
}

/// A table of the file as rows of `channels`.
Tensor stored_rows(const TensorFile& weights, const std::string& name, int64_t channels) {
  return weights.read(name, DType::kF32).reshape({-1, channels}).clone();
}
Tensor initial_rows(const State& initial, const std::string& name, int64_t channels) {
  const auto found = initial.find(name);
  return found == initial.end() ? Tensor() : found->second.reshape({-1, channels}).clone();
}

/// What a checkpoint tells about the training: the tables before the first step, the steps, the logged gradients.
State read_training(Inspection& result) {
  const Hdf5File file = Hdf5File::open(result.source);
  const State initial = file.has("initial") ? read_state(file, "initial") : State();
  if (!initial.empty()) { result.step = file.read_attr_int("/", "step"); }
  if (file.has("log/step")) {
    result.logged_steps = file.read("log/step").to_vector<int64_t>();
    result.position_gradient = file.read("log/position_gradient");
    result.scale_gradient = file.read("log/scale_gradient");
  }
  return initial;
}

double finite(double v) { return std::isfinite(v) ? v : 0; }

/// Mean over the pairs of neighbours (left-right and above-below) of a scale; NaN where there are none.
double neighbour_similarity(const std::vector<double>& cosine, int64_t p) {
  double total = 0, count = 0;
  for (int64_t a = 0; a < p * p; ++a) {
    for (const int64_t b : {a % p + 1 < p ? a + 1 : -1, a + p < p * p ? a + p : -1}) {
      if (b < 0) { continue; }
      total += cosine[static_cast<size_t>(a * p * p + b)];
      ++count;
    }
  }
  return count > 0 ? total / count : std::numeric_limits<double>::quiet_NaN();
}

std::vector<double> column_means(const Tensor& rows) {
  std::vector<double> means(static_cast<size_t>(rows.dim(1)), 0);
  const std::vector<double> values = rows.to_vector<double>();
  for (size_t i = 0; i < values.size(); ++i) {
    means[i % means.size()] += values[i] / static_cast<double>(rows.dim(0));
  }
  return means;
}

}  // namespace

Inspection inspect_checkpoint(const std::string& path, const std::string& prefix) {
  const TensorFile weights = open_weights(path, WeightKind::kVar, prefix);
  Inspection result;
  result.source = weights.path();
  result.config = var_config_from_weights(weights, {.num_heads = 1});  // tables do not depend on the heads
  const int64_t C = result.config.embed_dim;
  const State initial = weights.format() == "HDF5" ? read_training(result) : State();
  Generator scratch(0);
  const std::unique_ptr<PositionalEncoding> encoding = make_encoding(result.config, scratch);
  for (auto& [name, table] : encoding->state()) {
    Tensor target = table;  // shares the encoding's memory
    weights.read_into(name, target);
  }
  const NoGrad no_grad;
  result.table = rows_of(encoding->table(), C);
  result.initial = initial_table(*encoding, initial, C);
  result.start = stored_rows(weights, "pos_start", C);
  result.initial_start = initial_rows(initial, "pos_start", C);
  if (result.config.positions.level_embedding) {
    result.levels = stored_rows(weights, "lvl_embed.weight", C);
    result.initial_levels = initial_rows(initial, "lvl_embed.weight", C);
  }
  result.summary = table_summary(*encoding, result.start, result.levels);
  return result;
}

std::vector<double> relative_drift(const Tensor& initial, const Tensor& now) {
  check_shape(now, initial.shape(), "relative_drift", "now");
  check_ndim(now, 2, "relative_drift", "now");
  const std::vector<double> a = initial.to_vector<double>(), b = now.to_vector<double>();
  const auto C = static_cast<size_t>(now.dim(1));
  std::vector<double> drift;
  for (size_t i = 0; i < a.size(); i += C) {
    double moved = 0, size = 0;
    for (size_t c = i; c < i + C; ++c) {
      moved += (b[c] - a[c]) * (b[c] - a[c]);
      size += a[c] * a[c];
    }
    drift.push_back(moved == 0 ? 0 : std::sqrt(moved / size));
  }
  return drift;
}

Tensor similarity_mosaic(const Tensor& table, int64_t begin, int64_t patch, double low, int64_t side) {
  const int64_t n = patch * patch;
  const Tensor cosine = cosine_similarity(table.slice(0, begin, begin + n));
  Tensor blocks = Tensor::empty({n, patch, patch, 3}, DType::kU8);
  for (int64_t i = 0; i < n; ++i) {
    const Tensor map = cosine.select(0, i).contiguous().view({patch, patch});
    blocks.select(0, i).copy_(matrix_image(map, ColorMap::kSequential, low, 1));
  }
  return image_grid(blocks, {.columns = patch, .padding = 3, .upscale = std::max<int64_t>(1, side / n)});
}

Json inspection_json(const Inspection& inspection) {
  Json j;
  j["checkpoint"] = inspection.source;
  j["step"] = inspection.step ? Json(*inspection.step) : Json();
  j["encoding"] = inspection.config.positions.kind;
  j["tables"] = Json::array();
  for (const TableSummary& t : inspection.summary) {
    j["tables"].push_back({{"name", t.name}, {"rms", t.rms}, {"learned", t.learned}});
  }
  const Pyramid pyramid(inspection.config.patch_nums);
  std::vector<double> drift, gradient;
  if (inspection.initial.defined()) { drift = relative_drift(inspection.initial, inspection.table); }
  if (inspection.position_gradient.defined() && inspection.position_gradient.numel() > 0) {
    gradient = column_means(inspection.position_gradient);
  }
  if (inspection.initial_levels.defined()) {
    j["level_embedding_drift"] = relative_drift(inspection.initial_levels, inspection.levels);
  }
  if (inspection.initial_start.defined()) {
    j["start_drift"] = relative_drift(inspection.initial_start, inspection.start)[0];
  }
  j["scales"] = Json::array();
  for (int64_t s = 0; s < pyramid.scales(); ++s) {
    const int64_t p = pyramid.patch(s);
    const auto part = [&](const std::vector<double>& values) {
      if (static_cast<int64_t>(values.size()) < pyramid.end(s)) { return std::vector<double>(); }
      return std::vector<double>(values.begin() + pyramid.begin(s), values.begin() + pyramid.end(s));
    };
    Json scale = {{"patch", p}};
    if (inspection.table.defined()) {
      const Tensor rows = inspection.table.slice(0, pyramid.begin(s), pyramid.end(s));
      const std::vector<double> cosine = cosine_similarity(rows).to_vector<double>();
      const double near = neighbour_similarity(cosine, p);
      scale["rms"] = root_mean_square(rows.contiguous());
      scale["neighbour_similarity"] = std::isfinite(near) ? Json(near) : Json();
      scale["relative_drift"] = part(drift);
      scale["cosine_similarity"] = cosine;  // row-major, patch^2 x patch^2
    }
    if (!gradient.empty()) { scale["mean_gradient_norm"] = part(gradient); }
    j["scales"].push_back(scale);
  }
  if (!inspection.logged_steps.empty()) {
    j["logged_steps"] = inspection.logged_steps;
    Json rows = Json::array();
    for (size_t r = 0; r < inspection.logged_steps.size() && inspection.scale_gradient.numel() > 0; ++r) {
      std::vector<double> row = inspection.scale_gradient.select(0, static_cast<int64_t>(r)).to_vector<double>();
      for (double& v : row) { v = finite(v); }
      rows.push_back(row);
    }
    j["scale_gradient"] = rows;
  }
  return j;
}

}  // namespace terrace
