#include "experiments/study/report.h"

#include <algorithm>
#include <cmath>

#include "data/files/json.h"
#include "experiments/cli/progress.h"
#include "experiments/report/chart.h"
#include "experiments/report/image_grid.h"
#include "tensor/base/error.h"
#include "tensor/base/names.h"

namespace terrace {
namespace {

/// Curves of one figure, averaged over the seeds, of the records that have it.
template <class F>
std::vector<Series> curves(const StudyResults& results, const F& figure) {
  std::vector<Series> series;
  const std::vector<std::string> names = results.encodings();
  for (size_t i = 0; i < names.size(); ++i) {
    std::vector<double> x;
    std::vector<std::vector<double>> runs;
    for (const StudyRun* run : results.runs_of(names[i])) {
      x.clear();
      runs.emplace_back();
      for (const VarStepRecord& r : run->log) {
        const double value = figure(r);
        if (!std::isfinite(value)) { continue; }
        x.push_back(static_cast<double>(r.step));
        runs.back().push_back(value);
      }
    }
    series.push_back(band_over(names[i], x, runs, static_cast<int>(i)));
  }
  return series;
}

template <class F>
std::vector<Series> by_scale(const StudyResults& results, const F& values_of) {
  std::vector<Series> series;
  const std::vector<std::string> names = results.encodings();
  std::vector<double> x(results.patch_nums.begin(), results.patch_nums.end());
  for (size_t i = 0; i < names.size(); ++i) {
    std::vector<std::vector<double>> runs;
    for (const StudyRun* run : results.runs_of(names[i])) { runs.push_back(values_of(*run)); }
    series.push_back(band_over(names[i], x, runs, static_cast<int>(i)));
  }
  return series;
}

// --- Samples ---

constexpr int64_t kThumbnail = 56;  // pixels that a sample is shown in, about
constexpr size_t kSideBySide = 3;   // encodings

/// A run whose samples are shown, and its encoding's colour.
struct ShownRun {
  const StudyRun* run;
  int color;
};

/// Samples [begin, end) of a run in one row, at most `most` of them.
std::string sample_strip(const StudyRun& run, int64_t begin, int64_t end, int64_t most, const std::string& name) {
  constexpr int64_t kGap = 3;
  const int64_t count = std::min(most, end - begin), upscale = std::max<int64_t>(1, 96 / run.samples.dim(2));
  const Tensor strip = run.samples.slice(0, begin, begin + count);
  return image_markup(image_grid(strip, {.columns = count, .padding = kGap, .upscale = upscale}), name,
                      count * (kThumbnail + kGap));
}

std::string encoding_name(const ShownRun& shown) {
  return "<i class=\"dot\" style=\"background:" + palette_color(shown.color) + "\"></i>" +
         escape_html(shown.run->encoding);
}

std::string column_heading(const ShownRun& shown) {
  const double share = shown.run->own_share;
  const std::string note = std::isfinite(share) ? "<small>" + percent(share) + " show their class</small>" : "";
  return "<b>" + encoding_name(shown) + note + "</b>";
}

/// Where each class begins among the samples, and their number.
std::vector<int64_t> class_starts(const std::vector<int64_t>& labels) {
  std::vector<int64_t> starts;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (i == 0 || labels[i] != labels[i - 1]) { starts.push_back(static_cast<int64_t>(i)); }
  }
  starts.push_back(static_cast<int64_t>(labels.size()));
  return starts;
}

/// A row for a class, or for several where there are few samples of each, up to 16 rows; a column for an encoding. On a
/// narrow screen one strip stands below the other.
std::string sample_strips(const StudyResults& results, const std::vector<ShownRun>& shown) {
  constexpr size_t kMaxRows = 16;
  std::string grid = "<div class=\"strips\" style=\"grid-template-columns:fit-content(180px) repeat(" +
                     std::to_string(shown.size()) + ",minmax(0,1fr))\"><span></span>";
  for (const ShownRun& shown_run : shown) { grid += column_heading(shown_run); }
  const std::vector<int64_t> labels = shown.front().run->sample_labels.to_vector<int64_t>();
  const std::vector<int64_t> starts = class_starts(labels);
  const size_t classes = starts.size() - 1;
  // Two columns of eight, or three of five, have the width of the page.
  const size_t most = shown.size() <= 2 ? 8 : 5, of_each = labels.size() / classes;
  const size_t together = std::max<size_t>(1, most / of_each), rows = (classes + together - 1) / together;
  const size_t stride = (rows + kMaxRows - 1) / kMaxRows * together;
  for (size_t c = 0; c < classes; c += stride) {
    const size_t last = std::min(c + together, classes);
    std::vector<std::string> names;
    for (size_t k = c; k < last; ++k) {
      names.push_back(results.class_names[static_cast<size_t>(labels[static_cast<size_t>(starts[k])])]);
    }
    grid += "<span>" + escape_html(join_names(names)) + "</span>";
    for (const ShownRun& shown_run : shown) {
      grid += "<div><em>" + encoding_name(shown_run) + "</em>" +
              sample_strip(*shown_run.run, starts[c], starts[last], static_cast<int64_t>(most), join_names(names)) +
              "</div>";
    }
  }
  return grid + "</div>\n";
}

}  // namespace

void report_curves(const StudyResults& results, Html& page) {
  page.section("Training", "training");
  LineChart train{.title = "Training loss", .x_label = "step", .y_label = "nats per token", .y_scale = AxisScale::kLog};
  train.series = curves(results, [](const VarStepRecord& r) { return r.loss; });
  LineChart held{.title = "Held-out loss", .x_label = "step", .y_label = "nats per token", .y_scale = AxisScale::kLog};
  held.series =
      curves(results, [](const VarStepRecord& r) { return r.held_out_loss >= 0 ? r.held_out_loss : kNotMeasured; });
  LineChart scale_loss{
      .title = "Held-out loss by scale", .x_label = "side of the scale (tokens)", .y_label = "nats per token"};
  scale_loss.series = by_scale(results, [](const StudyRun& r) { return r.held_out.scale_loss; });
  LineChart scale_accuracy{.title = "Held-out token accuracy by scale",
                           .x_label = "side of the scale (tokens)",
                           .y_label = "fraction right"};
  scale_accuracy.series = by_scale(results, [](const StudyRun& r) { return r.held_out.scale_accuracy; });
  scale_accuracy.y_from_zero = true;
  page.figures({{train.svg(), "Loss of the batches seen, mean over the seeds; the band is one standard deviation."},
                {held.svg(), cat("The same without dropout for images never trained on: ", results.curve_images,
                                 " of the ", results.held_out_images, " held out; the figure in the summary is over ",
                                 final_images_text(results), ".")},
                {scale_loss.svg(), "At the end. Coarse scales carry the class, fine ones the detail."},
                {scale_accuracy.svg(), "Share of tokens whose most likely code is the right one."}});
}

void report_tokenizer(const StudyResults& results, Html& page) {
  const StudyTokenizer& t = results.tokenizer;
  page.section("Tokenizer", "tokenizer");
  page.text(cat(
      "All encodings see the same tokens. The tokenizer (", format_number(static_cast<double>(t.parameters) / 1e6),
      "M parameters, ", t.steps > 0 ? cat(t.steps, " steps") : "loaded", ") reconstructs held-out images at ",
      format_fixed(t.psnr, 2), " dB PSNR; what it loses no transformer can bring back.",
      std::isfinite(t.distance) ? cat(" ", t.distance_name, " of the reconstructions: ", format_number(t.distance), ".")
                                : std::string()));
  if (t.originals.defined() && t.originals.numel() > 0) {
    const int64_t N = t.originals.dim(0), H = t.originals.dim(1), W = t.originals.dim(2);
    constexpr int64_t kColumns = 8;
    const int64_t shown = std::min<int64_t>(N, 3 * kColumns);
    // Rows alternate: images, then what became of them.
    const int64_t rows = (shown + kColumns - 1) / kColumns;
    Tensor pairs = Tensor::full({2 * rows * kColumns, H, W, 3}, 128, DType::kU8);
    for (int64_t i = 0; i < shown; ++i) {
      const int64_t place = i / kColumns * 2 * kColumns + i % kColumns;
      pairs.select(0, place).copy_(t.originals.select(0, i));
      pairs.select(0, place + kColumns).copy_(t.reconstructions.select(0, i));
    }
    const int64_t upscale = std::max<int64_t>(1, 96 / W);
    page.figure(image_markup(image_grid(pairs, {.columns = kColumns, .padding = 4, .upscale = upscale}),
                             "held-out images and their reconstructions"),
                "Held-out images (first, third and fifth row) and their reconstructions below them.");
  }
  Table usage;
  usage.columns = {"Scale"};
  std::vector<Cell> used = {"Codes in use (%)"}, perplexity = {"Perplexity of the codes"};
  for (size_t s = 0; s < t.usage.size(); ++s) {
    usage.columns.push_back(results.scale_names()[s] + "×" + results.scale_names()[s]);
    used.emplace_back(format_fixed(100 * t.usage[s], 1));
    perplexity.emplace_back(format_fixed(t.perplexity[s], 1));
  }
  usage.rows = {used, perplexity};
  usage.caption = cat("Over the training set's tokens; ", percent(t.codes_used),
                      " of the codebook is used by some scale. A perplexity near 1 would be a collapsed scale.");
  page.table(usage);
  if (t.log_step.size() > 1) {
    LineChart loss{.title = "Tokenizer loss", .x_label = "step", .y_scale = AxisScale::kLog};
    loss.series.push_back({.name = "", .x = t.log_step, .y = t.log_loss, .low = {}, .high = {}, .color = 4});
    LineChart psnr{.title = "PSNR of the training batches", .x_label = "step", .y_label = "dB"};
    psnr.series.push_back({.name = "", .x = t.log_step, .y = t.log_psnr, .low = {}, .high = {}, .color = 4});
    page.figures({{loss.svg(), ""}, {psnr.svg(), ""}});
  }
}

void report_samples(const StudyResults& results, Html& page) {
  page.section("Samples", "samples");
  std::vector<ShownRun> shown;
  const std::vector<std::string> names = results.encodings();
  for (size_t i = 0; i < names.size(); ++i) {
    const StudyRun* run = results.runs_of(names[i]).front();
    if (run->samples.defined()) { shown.push_back({run, static_cast<int>(i)}); }
  }
  if (shown.empty()) { return page.text("No run kept its samples."); }
  page.text(
      "Generated with guidance, from the runs of the first seed: in each row the class, or from left to right the "
      "classes, named beside it. Places share their random draws between encodings, so that they can be compared one "
      "by "
      "one.");
  // Side by side as many as leave each image its size; the others below.
  const size_t bands = (shown.size() + kSideBySide - 1) / kSideBySide, each = (shown.size() + bands - 1) / bands;
  for (size_t begin = 0; begin < shown.size(); begin += each) {
    const auto first = shown.begin() + static_cast<std::ptrdiff_t>(begin);
    page.markup(
        sample_strips(results, {first, first + static_cast<std::ptrdiff_t>(std::min(each, shown.size() - begin))}));
  }
}

void report_cost(const StudyResults& results, Html& page) {
  page.section("Time and memory", "cost");
  Table table;
  table.columns = {
      "Encoding", "Parameters", "ms / step", "Training images / s", "Sampled images / s", "Peak memory of tensors"};
  const std::vector<std::string> names = results.encodings();
  for (size_t i = 0; i < names.size(); ++i) {
    const auto spread = [&](auto figure) { return spread_of(figures(results, names[i], figure)); };
    Cell name(names[i]);
    name.color = static_cast<int>(i);
    table.rows.push_back(
        {name, format_number(static_cast<double>(results.runs_of(names[i]).front()->parameters)),
         format_spread(spread([](const StudyRun& r) { return 1e3 * r.seconds_per_step; }), 1),
         format_spread(spread([](const StudyRun& r) { return r.images_per_second(); }), 1),
         format_spread(spread([](const StudyRun& r) { return r.sampled_per_second; }), 1),
         format_bytes(spread([](const StudyRun& r) { return static_cast<double>(r.peak_bytes); }).mean)});
  }
  table.caption =
      "Medians over the records of a run, then mean over seeds. Sampling includes guidance and the decoder. Memory is "
      "that of training, beyond the tokenizer and the tokens that are there before.";
  page.table(table);
  if (std::isfinite(results.step_share())) {
    page.text(cat(format_fixed(100 * results.step_share(), 0), " % of the ", format_duration(results.wall_seconds),
                  " were training steps; the others went to tokens, held-out losses, samples and distances."));
  }
}

void report_setup(const StudyResults& results, Html& page) {
  page.section("Setup", "setup");
  page.text(cat("Data: ", results.source, ". ", results.train_images, " training images, ", results.held_out_images,
                " held out, ", results.class_names.size(), " classes. ", results.train_images, " × ",
                results.tokenizer.usage.size(),
                " scales were encoded once; every transformer read the same tokens. The tokenizer ",
                results.tokenizer.steps > 0 ? "was trained on the whole training split." : "was given."));
  if (results.versions().size() > 1 || results.machines().size() > 1) {
    page.note(cat("The study was run in parts by different programs or machines: versions ",
                  join_names(results.versions()), "; ", results.machines().size(),
                  " machine descriptions (results.json has them for each run). Times of "
                  "different machines do not compare."));
  }
  page.details("Full configuration", preformatted(json_text(results.configuration, 2)));
  page.details("Machine and libraries",
               preformatted(json_text(results.machine, 2) + "\n" + json_text(results.libraries, 2)));
}

std::string study_report(const StudyResults& results) {
  if (results.runs.empty()) { throw Error("study report: there is no run to show"); }
  Html page;
  const std::string best = best_encoding(results, loss_of, Better::kLower);
  const Spread loss = spread_of(figures(results, best, loss_of));
  std::vector<std::pair<std::string, std::string>> key = {
      {format_fixed(results.tokenizer.psnr, 1) + " dB", "PSNR of the tokenizer on held-out images"},
      {format_fixed(loss.mean, 3),
       "lowest mean held-out loss, nats per token (" + best +
           (results.encodings().size() > 1 && established_best(results, loss_of, Better::kLower).empty()
                ? ", not distinguished from the others)"
                : ")")}};
  if (has_rule(results)) {
    const std::string name = best_encoding(results, share_of, Better::kHigher);
    double samples = 0;
    const std::string range = share_interval(results, name, &samples);
    key.emplace_back(format_fixed(spread_of(figures(results, name, share_of)).mean, 1) + " %",
                     "of " + std::to_string(static_cast<int64_t>(samples)) + " samples show their class (" + name +
                         ", " + range + "; " + sampling_text(results) + "; ceiling " +
                         percent(results.tokenizer.reconstructed_share) + ")");
  }
  key.emplace_back(format_duration(results.wall_seconds),
                   cat("minutes:seconds for tokenizer, training and sampling, ", results.runs.size(),
                       results.runs.size() == 1 ? " transformer" : " transformers"));
  if (const std::string warning = shortness_warning(results); !warning.empty()) { page.warning(warning); }
  page.headline(key);
  report_summary(results, page);
  report_curves(results, page);
  report_samples(results, page);
  report_tables(results, page);
  report_tokenizer(results, page);
  report_cost(results, page);
  report_setup(results, page);
  const std::string encodings = results.encodings().size() == 1
                                    ? "one positional encoding"
                                    : cat(results.encodings().size(), " positional encodings");
  return page.page("Positional encodings of a visual autoregressive model",
                   cat("One multi-scale tokenizer, then a transformer for each of ", encodings, " and ",
                       seeds_text(results), ", trained on the same tokens of ", results.train_images, " images."),
                   cat("Terrace ", results.version, ". ", results.machine.value("cpu", "unknown processor"), ", ",
                       results.machine.value("threads", 0), " threads."));
}

}  // namespace terrace
