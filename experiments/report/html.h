// A small writer of self-contained HTML pages: no script, no network, light and dark.
//
//   Html page;
//   page.section("Summary", "summary");
//   page.text("One tokenizer, three encodings.");
//   page.table(table);
//   page.figure(chart.svg(), "Loss over training.");
//   write_file("report.html", page.page("Positional encodings"));
//
// Everything given as text is escaped; what is named `markup` is HTML already.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace terrace {

std::string escape_html(const std::string& text);

struct Cell {
  Cell(std::string text_) : text(std::move(text_)) {}
  Cell(const char* text_) : text(text_) {}
  std::string text;
  bool best = false;  // set off as the best of its column
  std::string note;   // small, under the value
  int color = -1;     // a dot of this palette entry before the text
};

struct Table {
  std::vector<std::string> columns;  // the first is the row's name, left-aligned; the others right-aligned
  std::vector<std::vector<Cell>> rows;
  std::string caption;
};

class Html {
 public:
  /// A second-level heading with an anchor; listed in the contents at the top of the page.
  void section(const std::string& title, const std::string& id);
  void subsection(const std::string& title);
  void text(const std::string& text);
  void note(const std::string& text);     // smaller, set back
  void warning(const std::string& text);  // set off, not to be overlooked
  void markup(const std::string& markup) { body_ += markup; }
  void table(const Table& table);
  void figure(const std::string& markup, const std::string& caption);
  /// Figures side by side where the page is wide enough; each with its caption.
  void figures(const std::vector<std::pair<std::string, std::string>>& markup_and_captions);
  /// Key figures in large type: value and what it is.
  void headline(const std::vector<std::pair<std::string, std::string>>& values_and_labels);
  /// Folded until clicked.
  void details(const std::string& summary, const std::string& markup);

  /// The complete document. `lead` is the paragraph under the title, `footer` the last line.
  std::string page(const std::string& title, const std::string& lead, const std::string& footer) const;
  const std::string& body() const { return body_; }

 private:
  std::string body_;
  std::vector<std::pair<std::string, std::string>> sections_;  // title, id
};

std::string table_markup(const Table& table);
/// <pre> of escaped text.
std::string preformatted(const std::string& text);

/// Colours of series: CSS variables --s0..--s7, defined by the page for light and dark.
inline constexpr int kPaletteSize = 8;
std::string palette_color(int index);  // "var(--s3)"

}  // namespace terrace
