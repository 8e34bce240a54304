// The first part of the study's report: the encodings side by side, and whether their difference means anything.
#include <algorithm>
#include <cmath>

#include "experiments/cli/progress.h"
#include "experiments/report/chart.h"
#include "experiments/study/report.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

std::string interval(const PairedComparison& c, int decimals) {
  if (!std::isfinite(c.low)) { return "–"; }
  return "[" + format_fixed(c.low, decimals) + ", " + format_fixed(c.high, decimals) + "]";
}

std::string signed_text(double value, int decimals) { return (value > 0 ? "+" : "") + format_fixed(value, decimals); }

/// RMS of what the encoding adds at the start: of the sum where it has parts.
std::string position_rms(const StudyRun& run) {
  std::string text = "none";
  for (const TableSummary& t : run.start) {
    if (t.name.rfind("positions", 0) == 0) { text = format_number(t.rms); }
  }
  return text;
}

/// Distances have no scale of their own: so many that the floor, the smallest of them, shows two digits.
int decimals_of_distance(const StudyTokenizer& tokenizer) {
  if (!(tokenizer.distance > 0)) { return 3; }
  return std::max(3, std::min(9, 2 - static_cast<int>(std::floor(std::log10(tokenizer.distance)))));
}

/// Every encoding against the first, over the seeds that they share.
void report_contrasts(const StudyResults& results, Html& page) {
  page.subsection("Can the difference be distinguished from chance?");
  page.text(significance_sentence(results));
  const std::vector<Contrast> list = contrasts(results);
  if (list.empty()) { return; }
  Table pairs;
  pairs.columns = {"Against " + list.front().baseline, "Loss difference", "95 % interval", "p (loss)"};
  if (has_rule(results)) {
    pairs.columns.insert(pairs.columns.end(),
                         {"Class fraction difference (points)", "95 % interval", "p (class fraction)"});
  }
  for (size_t i = 0; i < list.size(); ++i) {
    const PairedComparison &l = list[i].held_out_loss, &s = list[i].own_share;
    Cell name(list[i].encoding);
    name.color = static_cast<int>(i) + 1;
    pairs.rows.push_back({name, signed_text(l.difference.mean, 4), interval(l, 4), format_fixed(l.p, 3)});
    if (has_rule(results)) {
      for (const std::string& text : {signed_text(s.difference.mean, 1), interval(s, 1), format_fixed(s.p, 3)}) {
        pairs.rows.back().emplace_back(text);
      }
    }
  }
  pairs.caption = cat("Differences to ", list.front().baseline,
                      " of runs that share a seed (the order of the data and the draws of sampling); Student's paired "
                      "t, two-sided.");
  page.table(pairs);
}

/// Every run as a dot.
void report_dots(const StudyResults& results, Html& page) {
  const std::vector<std::string> names = results.encodings();
  DotChart losses{.title = "Held-out loss", .x_label = "nats per token (lower is better)"};
  DotChart shares{.title = "Samples that show their class", .x_label = "% (higher is better)"};
  for (size_t i = 0; i < names.size(); ++i) {
    losses.groups.push_back({names[i], figures(results, names[i], loss_of), static_cast<int>(i)});
    shares.groups.push_back({names[i], figures(results, names[i], share_of), static_cast<int>(i)});
  }
  shares.has_reference = true;
  shares.reference = 100 * results.tokenizer.reconstructed_share;
  shares.reference_name = "reconstructions (ceiling)";
  std::vector<std::pair<std::string, std::string>> figures_shown = {{losses.svg(), ""}};
  if (has_rule(results)) { figures_shown.emplace_back(shares.svg(), ""); }
  page.figures(figures_shown);
}

bool has_distance(const StudyResults& results) { return std::isfinite(results.tokenizer.distance); }

std::vector<Cell> summary_row(const StudyResults& results, const std::string& name, int color) {
  const auto spread = [&](auto figure) { return spread_of(figures(results, name, figure)); };
  Cell encoding(name), loss(format_spread(spread(loss_of), 4)), share(format_spread(spread(share_of), 1));
  encoding.color = color;
  loss.best = name == established_best(results, loss_of, Better::kLower);
  share.best = name == established_best(results, share_of, Better::kHigher);
  double samples = 0;
  share.note = share_interval(results, name, &samples);
  share.note += cat(" of ", static_cast<int64_t>(samples));
  std::vector<Cell> row = {encoding, loss};
  if (has_rule(results)) { row.push_back(share); }
  row.emplace_back(format_spread(spread([](const StudyRun& r) { return 100 * r.held_out.accuracy; }), 2) + " %");
  row.emplace_back(format_spread(spread([](const StudyRun& r) { return r.train_loss; }), 4));
  if (has_distance(results)) {
    row.emplace_back(
        format_spread(spread([](const StudyRun& r) { return r.distance; }), decimals_of_distance(results.tokenizer)));
  }
  row.emplace_back(format_spread(spread([](const StudyRun& r) { return 1e3 * r.seconds_per_step; }), 1));
  row.emplace_back(format_bytes(spread([](const StudyRun& r) { return static_cast<double>(r.peak_bytes); }).mean));
  row.emplace_back(position_rms(*results.runs_of(name).front()));
  return row;
}

void report_encodings(const StudyResults& results, Html& page) {
  const std::vector<std::string> names = results.encodings();
  Table table;
  table.columns = {"Encoding", "Held-out loss (nats/token)"};
  if (has_rule(results)) { table.columns.emplace_back("Samples showing their class (%)"); }
  table.columns.emplace_back("Token accuracy");
  table.columns.emplace_back("Training loss");
  if (has_distance(results)) { table.columns.push_back(results.tokenizer.distance_name); }
  for (const char* last : {"ms / step", "Peak memory", "Table RMS at the start"}) { table.columns.emplace_back(last); }
  for (size_t i = 0; i < names.size(); ++i) {
    table.rows.push_back(summary_row(results, names[i], static_cast<int>(i)));
  }
  const double entropy = code_entropy(results);
  table.caption =
      cat("Mean", results.runs.size() > names.size() ? " ± sample standard deviation" : "", " over ",
          seeds_text(results), "; every run has ", results.runs.front().steps, " steps of ", results.runs.front().batch,
          " images. Held-out loss over ", final_images_text(results), " of the ", results.held_out_images,
          " held-out images; a model that knows nothing has ln V",
          std::isfinite(entropy) ? cat(", one that knows how often each code occurs ", format_fixed(entropy, 3)) : "",
          ". Bold: the best, where a paired test over "
          "the seeds distinguishes it from every other encoding (5 %, corrected).");
  page.table(table);
}

void note_distance(const StudyResults& results, Html& page) {
  const StudyTokenizer& tokenizer = results.tokenizer;
  page.note(cat(tokenizer.distance_name, ": of ", results.runs.front().distance_images, " samples to ",
                tokenizer.distance_images, " held-out images, lower is better; measured with ",
                tokenizer.distance_about, ". The tokenizer's reconstructions of held-out images are at ",
                format_fixed(tokenizer.distance, decimals_of_distance(tokenizer)),
                ", and no transformer on its tokens is meant to come nearer. It falls with the number of images, so "
                "it compares within this table alone."));
}

void note_share(const StudyResults& results, Html& page) {
  page.note(
      cat("The fraction of samples is judged by the rule that defines the generated classes (shape, colour and place). "
          "Samples: ",
          sampling_text(results),
          "; below each fraction its 95 % interval from the number of samples alone (Wilson), without the spread "
          "between trainings. The ceiling: the rule recognises ",
          percent(results.tokenizer.real_share), " of the real test images and ",
          percent(results.tokenizer.reconstructed_share), " of the tokenizer's reconstructions of them. Chance is ",
          percent(1.0 / static_cast<double>(results.class_names.size())), " at most."));
}

}  // namespace

void report_summary(const StudyResults& results, Html& page) {
  page.section("Summary", "summary");
  report_encodings(results, page);
  if (has_distance(results)) { note_distance(results, page); }
  if (has_rule(results)) { note_share(results, page); }
  report_contrasts(results, page);
  report_dots(results, page);
}

}  // namespace terrace
