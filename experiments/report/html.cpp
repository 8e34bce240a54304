#include "experiments/report/html.h"

namespace terrace {
namespace {

constexpr const char* kStyle = R"css(
:root{color-scheme:light dark;--bg:#fcfcfb;--fg:#1d2126;--dim:#5e6772;--line:#dfe2e6;--soft:#f1f2f4;--card:#fff;--accent:#0f5fbf;
--s0:#1f6fd1;--s1:#d9730d;--s2:#0d8f66;--s3:#b23ab0;--s4:#67717e;--s5:#c9302c;--s6:#7a5af0;--s7:#8a6d00}
@media(prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e4e7eb;--dim:#98a2ae;--line:#2f353d;--soft:#1d2127;--card:#191d22;--accent:#74b0ff;
--s0:#6aa9ff;--s1:#ff9d4d;--s2:#3ecf9c;--s3:#e58ae3;--s4:#a3adb9;--s5:#ff7b74;--s6:#b3a0ff;--s7:#d6b73e}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:56px 28px 80px}
h1{font-size:34px;line-height:1.2;letter-spacing:-.02em;margin:0 0 12px;font-weight:680}
h2{font-size:23px;line-height:1.3;letter-spacing:-.01em;margin:64px 0 12px;padding-top:20px;border-top:1px solid var(--line);font-weight:650}
h3{font-size:17px;margin:34px 0 8px;font-weight:650}
p{margin:0 0 14px;max-width:76ch}
.lead{font-size:18.5px;color:var(--dim);max-width:68ch;margin-bottom:22px}
.note{font-size:14.5px;color:var(--dim);border-left:3px solid var(--line);padding:1px 0 1px 14px}
.warning{border:1px solid var(--s5);border-left-width:5px;border-radius:6px;background:var(--soft);padding:12px 16px;margin:22px 0 6px;font-weight:600}
nav{display:flex;flex-wrap:wrap;gap:6px 18px;font-size:14.5px;margin:0 0 8px}
a{color:var(--accent);text-decoration:none}a:hover{text-decoration:underline}
.headline{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:14px;margin:28px 0 10px}
.headline div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 18px}
.headline b{display:block;font-size:26px;line-height:1.25;letter-spacing:-.01em;font-weight:650;font-variant-numeric:tabular-nums}
.headline span{color:var(--dim);font-size:13.5px;line-height:1.4;display:block}
.table{margin:16px 0 22px}.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums;min-width:50%}
th{font-weight:600;color:var(--dim);font-size:13px;text-align:right;vertical-align:bottom;padding:6px 9px;border-bottom:1.5px solid var(--line);line-height:1.35}
td{text-align:right;padding:7px 9px;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:4px}
td small{display:block;color:var(--dim);font-size:12.5px;line-height:1.3}
td.best{font-weight:680}
tbody tr:hover td{background:var(--soft)}
.dot{display:inline-block;width:10px;height:10px;border-radius:50%;margin-right:9px}
figure{margin:18px 0 26px}
figcaption{color:var(--dim);font-size:13.5px;line-height:1.5;margin-top:6px;max-width:84ch}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));gap:8px 26px;margin:10px 0 12px}
.figures figure{margin:8px 0 12px;min-width:0}
svg{display:block;max-width:100%;height:auto;font-family:inherit}.figures svg{width:100%;max-width:560px}
img{display:block;max-width:100%;height:auto;image-rendering:pixelated;border-radius:4px;box-shadow:0 0 0 1px var(--line)}
.strips{display:grid;gap:6px 16px;align-items:center;font-size:13px;margin:18px 0 26px}.strips em{display:none;font-style:normal}
.strips b{font-weight:600;font-size:14px}.strips b small{font-weight:400;color:var(--dim);margin-top:1px}
.strips span{text-align:right;color:var(--dim);line-height:1.25}.strips small{display:block;font-size:11.5px}
.row{display:flex;flex-wrap:wrap;gap:6px 22px;align-items:flex-end}.row figure{margin:8px 0}
details{border:1px solid var(--line);border-radius:8px;padding:9px 16px;margin:12px 0;background:var(--card)}
summary{cursor:pointer;font-size:14.5px;color:var(--dim)}
pre{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace;overflow-x:auto;margin:10px 0}
footer{margin-top:64px;padding-top:16px;border-top:1px solid var(--line);color:var(--dim);font-size:13.5px}
.axis{stroke:var(--dim);stroke-width:1}.grid{stroke:var(--line);stroke-width:1}
.tick{fill:var(--dim);font-size:11.5px}.label{fill:var(--dim);font-size:12.5px}.title{fill:var(--fg);font-size:14px;font-weight:600}
@media(max-width:760px){
main{padding:28px 16px 56px}h1{font-size:26px}h2{font-size:21px;margin-top:44px}.lead{font-size:17px}
table,tbody,tr,td{display:block;width:100%}thead{display:none}
tr{border:1px solid var(--line);border-radius:8px;background:var(--card);padding:6px 12px;margin:0 0 10px}
td{display:flex;justify-content:space-between;gap:16px;padding:3px 0;border:0;white-space:normal}
td::before{content:attr(data-label);color:var(--dim);text-align:left}td>span{white-space:nowrap}
td:first-child{font-weight:650;font-size:15.5px;padding-left:0}td:first-child::before{content:none}td:empty{display:none}
.strips{display:block}.strips>*{margin-bottom:6px}.strips span{display:block;text-align:left;font-weight:600;color:var(--fg);margin-top:14px}
.strips b{display:none}.strips em{display:block;margin-bottom:3px}
}
@media print{main{max-width:none;padding:0}h2{break-after:avoid}figure,table{break-inside:avoid}}
)css";

std::string element(const std::string& tag, const std::string& content) {
  return "<" + tag + ">" + content + "</" + tag + ">\n";
}

std::string cell_markup(const Cell& cell) {
  if (cell.text.empty() && cell.note.empty() && cell.color < 0) { return ""; }
  std::string out = "<span>";
  if (cell.color >= 0) { out += "<i class=\"dot\" style=\"background:" + palette_color(cell.color) + "\"></i>"; }
  out += escape_html(cell.text);
  if (!cell.note.empty()) { out += "<small>" + escape_html(cell.note) + "</small>"; }
  return out + "</span>";
}

std::string figure_markup(const std::string& markup, const std::string& caption) {
  return "<figure>" + markup + (caption.empty() ? "" : "<figcaption>" + escape_html(caption) + "</figcaption>") +
         "</figure>\n";
}

}  // namespace

std::string escape_html(const std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string palette_color(int index) { return "var(--s" + std::to_string(index % kPaletteSize) + ")"; }

std::string preformatted(const std::string& text) { return element("pre", escape_html(text)); }

std::string table_markup(const Table& table) {
  std::string out = "<figure class=\"table\"><div class=\"scroll\"><table><thead><tr>";
  for (const std::string& column : table.columns) { out += "<th scope=\"col\">" + escape_html(column) + "</th>"; }
  out += "</tr></thead><tbody>\n";
  for (const auto& row : table.rows) {
    out += "<tr>";
    for (size_t c = 0; c < row.size(); ++c) {
      const Cell& cell = row[c];
      out += cell.best ? "<td class=\"best\"" : "<td";
      // On a narrow screen the name of the column stands beside the value.
      if (c > 0 && c < table.columns.size()) { out += " data-label=\"" + escape_html(table.columns[c]) + "\""; }
      out += ">" + cell_markup(cell) + "</td>";
    }
    out += "</tr>\n";
  }
  out += "</tbody></table></div>";
  if (!table.caption.empty()) { out += "<figcaption>" + escape_html(table.caption) + "</figcaption>"; }
  return out + "</figure>\n";
}

void Html::section(const std::string& title, const std::string& id) {
  sections_.emplace_back(title, id);
  body_ += "<h2 id=\"" + escape_html(id) + "\">" + escape_html(title) + "</h2>\n";
}

void Html::subsection(const std::string& title) { body_ += element("h3", escape_html(title)); }
void Html::text(const std::string& text) { body_ += element("p", escape_html(text)); }
void Html::note(const std::string& text) { body_ += "<p class=\"note\">" + escape_html(text) + "</p>\n"; }
void Html::warning(const std::string& text) {
  body_ += "<p class=\"warning\" role=\"alert\">" + escape_html(text) + "</p>\n";
}
void Html::table(const Table& table) { body_ += table_markup(table); }
void Html::figure(const std::string& markup, const std::string& caption) { body_ += figure_markup(markup, caption); }

void Html::figures(const std::vector<std::pair<std::string, std::string>>& markup_and_captions) {
  body_ += "<div class=\"figures\">";
  for (const auto& [markup, caption] : markup_and_captions) { body_ += figure_markup(markup, caption); }
  body_ += "</div>\n";
}

void Html::headline(const std::vector<std::pair<std::string, std::string>>& values_and_labels) {
  body_ += "<div class=\"headline\">";
  for (const auto& [value, label] : values_and_labels) {
    body_ += "<div><b>" + escape_html(value) + "</b><span>" + escape_html(label) + "</span></div>";
  }
  body_ += "</div>\n";
}

void Html::details(const std::string& summary, const std::string& markup) {
  body_ += "<details><summary>" + escape_html(summary) + "</summary>" + markup + "</details>\n";
}

std::string Html::page(const std::string& title, const std::string& lead, const std::string& footer) const {
  std::string out = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">";
  out += "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>" + escape_html(title) +
         "</title><style>" + kStyle + "</style></head><body><main>\n";
  out += element("h1", escape_html(title));
  if (!lead.empty()) { out += "<p class=\"lead\">" + escape_html(lead) + "</p>\n"; }
  if (sections_.size() > 1) {
    out += "<nav>";
    for (const auto& [name, id] : sections_) {
      out += "<a href=\"#" + escape_html(id) + "\">" + escape_html(name) + "</a>";
    }
    out += "</nav>\n";
  }
  out += body_;
  if (!footer.empty()) { out += element("footer", escape_html(footer)); }
  return out + "</main></body></html>\n";
}

}  // namespace terrace
