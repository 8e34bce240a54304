// The part of the report that looks inside: gradients, pictures, similarities and sizes of the position tables.
#include <algorithm>
#include <cmath>

#include "experiments/cli/progress.h"
#include "experiments/report/chart.h"
#include "experiments/report/heatmap.h"
#include "experiments/report/image_grid.h"
#include "experiments/study/config.h"
#include "experiments/study/report.h"

namespace terrace {
namespace {

/// log10 of the gradient norm per scale (rows) over the records (columns).
Heatmap gradient_map(const StudyResults& results, const StudyRun& run, double low, double high) {
  Heatmap map{.title = run.encoding, .x_label = "step", .y_label = "side of the scale"};
  std::vector<const VarStepRecord*> records;
  for (const VarStepRecord& r : run.log) {
    if (r.scale_gradient.size() == results.patch_nums.size()) { records.push_back(&r); }
  }
  map.rows = static_cast<int64_t>(results.patch_nums.size());
  map.columns = static_cast<int64_t>(records.size());
  map.row_names = results.scale_names();
  for (const VarStepRecord* r : records) { map.column_names.push_back(std::to_string(r->step)); }
  for (size_t s = 0; s < results.patch_nums.size(); ++s) {
    for (const VarStepRecord* r : records) { map.values.push_back(std::log10(r->scale_gradient[s])); }
  }
  map.low = low;
  map.high = high;
  map.height = 230;
  return map;
}

void report_gradients(const StudyResults& results, Html& page) {
  page.subsection("Gradients of the tables over training");
  page.text(
      "Norm of the gradient that arrives where the encoding is added, for each scale of the pyramid (rows) over the "
      "steps (columns), as log10. A fixed table receives it too, and ignores it.");
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const StudyRun& run : results.runs) {
    for (const VarStepRecord& r : run.log) {
      for (const double g : r.scale_gradient) {
        if (!(g > 0)) { continue; }
        low = std::min(low, std::log10(g));
        high = std::max(high, std::log10(g));
      }
    }
  }
  std::vector<std::pair<std::string, std::string>> maps;
  for (const std::string& encoding : results.encodings()) {
    const StudyRun& run = *results.runs_of(encoding).front();
    const Heatmap map = gradient_map(results, run, low, high);
    if (map.columns > 0) { maps.emplace_back(map.svg(), cat("seed ", run.seed)); }
  }
  if (low <= high) { page.figures(maps); }
}

void report_sizes(const StudyResults& results, Html& page) {
  page.subsection("Size of the tables");
  const double learned = learned_table_rms(results.embed_dim);
  page.text(cat("A sinusoid starts with an RMS of 0.71, a learned table of this width with ", format_number(learned),
                ", ", format_fixed(std::sqrt(0.5) / learned, 1),
                " times less: part of any difference is the size and not the shape. NAME@matched among --encodings, or "
                "the --pe-scale given here, compares them at the same size."));
  Table table;
  table.columns = {"Encoding",         "What is added",      "Kind",
                   "RMS at the start", "RMS after training", "--pe-scale to match"};
  const std::vector<std::string> names = results.encodings();
  for (size_t i = 0; i < names.size(); ++i) {
    const StudyRun& run = *results.runs_of(names[i]).front();
    for (size_t t = 0; t < run.start.size(); ++t) {
      const TableSummary& part = run.start[t];
      Cell name(t == 0 ? names[i] : "");
      if (t == 0) { name.color = static_cast<int>(i); }
      const bool fixed = !part.learned && part.rms > 0;
      table.rows.push_back({name, part.name, part.learned ? "learned" : "fixed", format_number(part.rms),
                            t < run.end.size() ? format_number(run.end[t].rms) : "–",
                            fixed ? format_number(learned / part.rms) : "–"});
    }
  }
  table.caption = "Of the first seed. The last column is the factor that gives a fixed part the size of a learned one.";
  page.table(table);
}

/// The cosines between different positions: the range of colours that shows their structure.
std::pair<double, double> off_diagonal_range(const Tensor& cosine) {
  const std::vector<double> values = cosine.to_vector<double>();
  const auto L = static_cast<size_t>(cosine.dim(0));
  double low = 1, high = -1;
  for (size_t i = 0; i < values.size(); ++i) {
    if (i / L == i % L) { continue; }
    low = std::min(low, values[i]);
    high = std::max(high, values[i]);
  }
  return low < high ? std::pair(low, high) : std::pair(-1.0, 1.0);
}

void report_pictures(const StudyResults& results, Html& page) {
  page.subsection("The tables themselves");
  page.text(
      "Every position of the pyramid, coarse scales first (rows), against its channels (columns): zero is "
      "white, blue negative, red positive; each picture has its own range.");
  std::vector<std::pair<std::string, std::string>> pictures, similarities;
  for (const std::string& encoding : results.encodings()) {
    const StudyRun& run = *results.runs_of(encoding).front();
    if (!run.table.defined()) { continue; }
    const int64_t upscale = std::max<int64_t>(1, 440 / std::max(run.table.dim(0), run.table.dim(1)));
    const auto picture = [&](const Tensor& table, const std::string& when) {
      pictures.emplace_back(
          image_markup(matrix_image(table, ColorMap::kDiverging, 0, 0, upscale), encoding + when, 440),
          cat(encoding, when, ": ", signed_range(table), "."));
    };
    if (run.initial_table.to_vector<float>() == run.table.to_vector<float>()) {
      picture(run.table, ", fixed");
    } else {
      picture(run.initial_table, ", before training");
      picture(run.table, ", after training");
    }
    const Tensor cosine = cosine_similarity(run.table);
    const auto [low, high] = off_diagonal_range(cosine);
    similarities.emplace_back(
        image_markup(matrix_image(cosine, ColorMap::kSequential, low, high, 2), encoding + " similarities", 360),
        cat(encoding, ": from ", format_fixed(low, 2), " (dark) to ", format_fixed(high, 2), " (bright)"));
  }
  page.figures(pictures);
  page.text(
      "Cosine of every position with every other, after training. The colours span what occurs between different "
      "positions.");
  page.figures(similarities);
}

}  // namespace

Tensor cosine_similarity(const Tensor& table) {
  check_ndim(table, 2, "cosine_similarity", "table");
  const int64_t L = table.dim(0), C = table.dim(1);
  const std::vector<double> v = table.to_vector<double>();
  std::vector<double> norms;
  for (int64_t i = 0; i < L; ++i) {
    double squares = 0;
    for (int64_t c = 0; c < C; ++c) {
      squares += v[static_cast<size_t>(i * C + c)] * v[static_cast<size_t>(i * C + c)];
    }
    norms.push_back(std::sqrt(squares));
  }
  Tensor result = Tensor::empty({L, L});
  auto* out = result.data<float>();
  for (int64_t i = 0; i < L; ++i) {
    for (int64_t j = 0; j < L; ++j) {
      double dot = 0;
      for (int64_t c = 0; c < C; ++c) { dot += v[static_cast<size_t>(i * C + c)] * v[static_cast<size_t>(j * C + c)]; }
      const double scale = norms[static_cast<size_t>(i)] * norms[static_cast<size_t>(j)];
      out[i * L + j] = static_cast<float>(scale > 0 ? dot / scale : 0);
    }
  }
  return result;
}

void report_tables(const StudyResults& results, Html& page) {
  page.section("Inside the encodings", "inside");
  report_gradients(results, page);
  report_sizes(results, page);
  report_pictures(results, page);
}

}  // namespace terrace
