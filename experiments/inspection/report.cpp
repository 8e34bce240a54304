// The page of inspect_pe.
#include <algorithm>
#include <cmath>
#include <limits>

#include "experiments/cli/progress.h"
#include "experiments/inspection/inspect.h"
#include "experiments/report/chart.h"
#include "experiments/report/heatmap.h"
#include "experiments/report/html.h"
#include "experiments/report/image_grid.h"
#include "experiments/report/statistics.h"
#include "experiments/study/report.h"
#include "tensor/base/mean_deviation.h"
#include "var/pyramid.h"

namespace terrace {
namespace {

using Figures = std::vector<std::pair<std::string, std::string>>;

/// Small figures in one row.
void strip(Html& page, const Figures& figures) {
  std::string markup = "<div class=\"row\">";
  for (const auto& [image, caption] : figures) {
    markup += "<figure>" + image + "<figcaption>" + escape_html(caption) + "</figcaption></figure>";
  }
  page.markup(markup + "</div>\n");
}

/// A value per position as one small map per scale, all on one range of colours, with its colour bar.
void report_scale_maps(Html& page, const Pyramid& pyramid, const std::vector<double>& values, const std::string& what) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  const double low = std::min(*least, 0.0), high = *most > low ? *most : low + 1;
  Figures maps;
  for (int64_t s = 0; s < pyramid.scales(); ++s) {
    const int64_t p = pyramid.patch(s);
    std::vector<double> part(values.begin() + pyramid.begin(s), values.begin() + pyramid.end(s));
    const Tensor map = Tensor::from(part, {p, p});
    maps.emplace_back(image_markup(matrix_image(map, ColorMap::kSequential, low, high, std::max<int64_t>(1, 120 / p)),
                                   cat(what, " at scale ", p), 120),
                      cat(p, "×", p, ": mean ", format_number(mean_of(part))));
  }
  page.text(cat("One map per scale, a cell per token; all maps share one range of colours, from ", format_number(low),
                " (dark) to ", format_number(high), " (bright)."));
  strip(page, maps);
  page.figure(color_bar_svg(low, high, what), "");
}

std::string training_of(const Inspection& inspection) {
  return inspection.step ? cat("after ", *inspection.step, " steps") : "as the file holds it";
}

void report_tables_of(const Inspection& inspection, Html& page) {
  page.section("The table", "table");
  page.text(
      "Every position of the pyramid, coarse scales first (rows), against its channels (columns). Zero is white, "
      "blue negative, red positive; each picture has its own range.");
  const auto picture = [](const Tensor& t, const std::string& what) {
    const int64_t upscale = std::max<int64_t>(1, 440 / std::max(t.dim(0), t.dim(1)));
    return image_markup(matrix_image(t, ColorMap::kDiverging, 0, 0, upscale), what, 440);
  };
  Figures figures;
  const auto add = [&](const Tensor& t, const std::string& what) {
    figures.emplace_back(picture(t, what), cat(what, ": ", signed_range(t), "."));
  };
  if (inspection.initial.defined()) { add(inspection.initial, "Before the first step"); }
  add(inspection.table, inspection.step ? cat("After ", *inspection.step, " steps") : "As the file holds it");
  if (inspection.initial.defined()) {
    Tensor moved = Tensor::empty(inspection.table.shape());
    const std::vector<double> a = inspection.initial.to_vector<double>(), b = inspection.table.to_vector<double>();
    for (size_t i = 0; i < a.size(); ++i) { moved.data<float>()[i] = static_cast<float>(b[i] - a[i]); }
    add(moved, "What training added");
  }
  if (inspection.levels.defined()) { add(inspection.levels, "Level embedding, one row per scale"); }
  page.figures(figures);
}

void report_similarities(const Inspection& inspection, const Pyramid& pyramid, Html& page) {
  page.section("Similarities", "similarities");
  const Tensor cosine = cosine_similarity(inspection.table);
  const std::vector<double> values = cosine.to_vector<double>();
  const double low = *std::min_element(values.begin(), values.end());
  page.text(
      cat("Cosine of every position with every other, from ", format_fixed(low, 2),
          " (dark) to 1 (bright). In each picture the block at row i, column j is the map of how similar position "
          "(i, j) is to all positions of its scale: a table that knows the grid shows a bright spot that moves with "
          "the block."));
  Figures mosaics;
  for (int64_t s = 0; s < pyramid.scales(); ++s) {
    const int64_t p = pyramid.patch(s);
    if (p == 1) { continue; }
    const Tensor mosaic = similarity_mosaic(inspection.table, pyramid.begin(s), p, low, 320);
    mosaics.emplace_back(image_markup(mosaic, cat("similarities of scale ", p), 320), cat("scale ", p, "×", p));
  }
  strip(page, mosaics);
  page.subsection("Across the scales");
  page.figure(image_markup(matrix_image(cosine, ColorMap::kSequential, low, 1, 3), "all similarities", 480),
              "All positions of the pyramid against all, coarse scales first.");
}

void report_gradients_of(const Inspection& inspection, const Pyramid& pyramid, Html& page) {
  const int64_t R = static_cast<int64_t>(inspection.logged_steps.size());
  if (R == 0 || inspection.scale_gradient.numel() == 0) { return; }
  page.section("Gradients", "gradients");
  page.text(
      "Norm of the gradient that arrives at each position where the encoding is added, at the logged steps. A fixed "
      "table "
      "receives it as well and ignores it.");
  LineChart chart{.title = "Per scale", .x_label = "step", .y_label = "gradient norm", .y_scale = AxisScale::kLog};
  const std::vector<double> x(inspection.logged_steps.begin(), inspection.logged_steps.end());
  for (int64_t s = 0; s < pyramid.scales(); ++s) {
    Series series{.name = cat(pyramid.patch(s), "×", pyramid.patch(s)), .x = x, .y = {}, .color = static_cast<int>(s)};
    for (int64_t r = 0; r < R; ++r) {
      series.y.push_back(inspection.scale_gradient.select(0, r).select(0, s).item<double>());
    }
    chart.series.push_back(series);
  }
  Heatmap map{.title = "Per position (log10)", .x_label = "step", .y_label = "position"};
  map.rows = inspection.position_gradient.dim(1);
  map.columns = R;
  map.height = 320;
  for (int64_t l = 0; l < map.rows; ++l) { map.row_names.push_back(std::to_string(l)); }
  for (const int64_t step : inspection.logged_steps) { map.column_names.push_back(std::to_string(step)); }
  std::vector<double> mean(static_cast<size_t>(map.rows), 0);
  for (int64_t l = 0; l < map.rows; ++l) {
    for (int64_t r = 0; r < R; ++r) {
      const double g = inspection.position_gradient.select(0, r).select(0, l).item<double>();
      map.values.push_back(std::log10(g));
      mean[static_cast<size_t>(l)] += g / static_cast<double>(R);
    }
  }
  page.figures({{chart.svg(), ""}, {map.svg(), "Positions from the coarsest scale (top) to the finest."}});
  page.subsection("Mean over training, where it arrives");
  report_scale_maps(page, pyramid, mean, "gradient norm, mean over the logged steps");
}

/// The parts that no scale map shows: one value per scale, and the start token's.
void report_other_drift(const Inspection& inspection, const Pyramid& pyramid, Html& page) {
  Table table{.columns = {"Table"}, .rows = {}, .caption = "Distance from the initial value over its length."};
  if (inspection.initial_levels.defined()) {
    std::vector<Cell> row = {"Level embedding"};
    const std::vector<double> drift = relative_drift(inspection.initial_levels, inspection.levels);
    for (int64_t s = 0; s < pyramid.scales(); ++s) {
      table.columns.push_back(cat(pyramid.patch(s), "×", pyramid.patch(s)));
      row.emplace_back(format_number(drift[static_cast<size_t>(s)]));
    }
    table.rows.push_back(row);
    page.table(table);
  }
  if (inspection.initial_start.defined()) {
    page.text("Position of the start token: drift " +
              format_number(relative_drift(inspection.initial_start, inspection.start)[0]) + ".");
  }
}

void report_drift(const Inspection& inspection, const Pyramid& pyramid, Html& page) {
  page.section("Drift", "drift");
  if (!inspection.initial_start.defined()) {
    page.text(
        "The file holds no values from before the training, as checkpoints of train_var do: nothing to compare with.");
  }
  if (inspection.initial.defined()) {
    const std::vector<double> drift = relative_drift(inspection.initial, inspection.table);
    if (*std::max_element(drift.begin(), drift.end()) == 0) {
      page.text("The table is fixed: no position has moved.");
    } else {
      page.text("How far each position has gone from its initial value, over the length of that value.");
      report_scale_maps(page, pyramid, drift, "drift, relative to the initial length");
    }
  }
  report_other_drift(inspection, pyramid, page);
}

}  // namespace

std::string inspection_report(const Inspection& inspection) {
  Html page;
  const Pyramid pyramid(inspection.config.patch_nums);
  Table sizes{.columns = {"Table", "RMS now", "Kind"}, .rows = {}, .caption = ""};
  for (const TableSummary& t : inspection.summary) {
    sizes.rows.push_back({t.name, format_number(t.rms), t.learned ? "learned" : "fixed"});
  }
  page.table(sizes);
  if (!inspection.table.defined()) {
    page.text("This model adds no position table.");
    if (inspection.scale_gradient.defined()) { report_gradients_of(inspection, pyramid, page); }
  } else {
    report_tables_of(inspection, page);
    report_similarities(inspection, pyramid, page);
    report_gradients_of(inspection, pyramid, page);
  }
  report_drift(inspection, pyramid, page);
  return page.page(cat("Position tables: ", inspection.config.positions.kind),
                   cat(pyramid.length(), " positions in ", pyramid.scales(), " scales, ", inspection.config.embed_dim,
                       " channels, ", training_of(inspection), "."),
                   inspection.source);
}

}  // namespace terrace
