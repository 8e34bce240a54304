#include "experiments/cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

namespace terrace {
namespace {

constexpr int kBarWidth = 20;
constexpr double kTerminalInterval = 0.1;
constexpr double kLongestInterval = 60.0;
constexpr double kRecent = 30, kBetweenMarks = 0.25;  // seconds

/// Whether the stream is a terminal that can rewrite a line.
bool rewrites_lines(std::FILE* stream) {
  const char* terminal = std::getenv("TERM");
  return isatty(fileno(stream)) != 0 && (terminal == nullptr || std::string_view(terminal) != "dumb");
}

int terminal_width(std::FILE* stream) {
  winsize size = {};
  if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) { return size.ws_col; }
  return 80;
}

}  // namespace

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e8) { return "--:--"; }
  const int64_t whole = std::llround(seconds);
  const int hours = static_cast<int>(whole / 3600), minutes = static_cast<int>(whole / 60 % 60),
            rest = static_cast<int>(whole % 60);
  char text[32];
  if (hours > 0) {
    std::snprintf(text, sizeof text, "%d:%02d:%02d", hours, minutes, rest);
  } else {
    std::snprintf(text, sizeof text, "%d:%02d", minutes, rest);
  }
  return text;
}

std::string format_bytes(double bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  while (bytes >= 1024 && unit < 4) { bytes /= 1024, ++unit; }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
  return text;
}

std::string format_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  if (std::fabs(value) >= 1e4 && std::fabs(value) < 1e7) { std::snprintf(text, sizeof text, "%.0f", value); }
  return text;
}

void RecentRate::add(double seconds, int64_t done) {
  // The latest mark moves along until it stands far enough from the one before it.
  if (marks_.size() > 1 && marks_.back().first - marks_[marks_.size() - 2].first < kBetweenMarks) { marks_.pop_back(); }
  marks_.emplace_back(seconds, done);
  while (marks_.size() > 2 && seconds - marks_[1].first >= kRecent) { marks_.pop_front(); }
}

double RecentRate::rate() const {
  if (marks_.empty()) { return 0; }
  const double seconds = marks_.back().first - marks_.front().first;
  return seconds > 0 ? static_cast<double>(marks_.back().second - marks_.front().second) / seconds : 0;
}

Progress::Progress(std::string label, int64_t total, std::string unit, std::FILE* stream, LineStyle style)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      stream_(stream),
      start_(Clock::now()),
      printed_(start_) {
  rate_.add(0, 0);
  terminal_ = style == LineStyle::kTerminal || (style == LineStyle::kAuto && rewrites_lines(stream));
}

Progress::~Progress() {
  if (!finished_ && terminal_ && begun_) { std::fputc('\n', stream_); }
}

double Progress::seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

void Progress::start(int64_t done) {
  first_ = done_ = done;
  start_ = printed_ = Clock::now();
  rate_ = RecentRate();
  rate_.add(0, done);
}

void Progress::update(int64_t done, const Fields& fields) {
  done_ = done;
  rate_.add(seconds(), done);
  fields_ = fields;
  doing_.clear();
  print_sometimes();
}

void Progress::doing(const std::string& what) {
  doing_ = what;
  print_sometimes();
}

void Progress::print_sometimes() {
  const bool first = !begun_;
  begun_ = true;
  const double since = std::chrono::duration<double>(Clock::now() - printed_).count();
  if (terminal_) {
    if (first || since >= kTerminalInterval) { print(false); }
  } else if (since >= interval_ && !(total_ > 0 && done_ == total_)) {  // the last line is finish()'s
    print(false);
    interval_ = std::min(interval_ * 1.5, kLongestInterval);
  }
}

std::string Progress::line(int64_t done, double rate, const Fields& fields, int width, double took) const {
  std::string bar, text = label_;
  char piece[96];
  if (total_ > 0) {
    const double share = std::clamp(static_cast<double>(done) / static_cast<double>(total_), 0.0, 1.0);
    const int filled = static_cast<int>(share * kBarWidth);
    bar = "  [" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "]";
    std::snprintf(piece, sizeof piece, "  %d%%  %lld/%lld %s", static_cast<int>(share * 100),
                  static_cast<long long>(done), static_cast<long long>(total_), unit_.c_str());
  } else {
    std::snprintf(piece, sizeof piece, "  %lld %s", static_cast<long long>(done), unit_.c_str());
  }
  std::string rest = piece;
  if (rate > 0) {
    std::snprintf(piece, sizeof piece, "  %.*f %s/s", rate >= 100 ? 0 : (rate >= 10 ? 1 : 2), rate, unit_.c_str());
    rest += piece;
    if (total_ > 0 && took < 0) { rest += "  ETA " + format_duration(static_cast<double>(total_ - done) / rate); }
    if (took >= 0) { rest += "  in " + format_duration(took); }
  }
  for (const auto& [name, value] : fields) { rest += "  " + name + " " + format_number(value); }
  if (!doing_.empty()) { rest += "  " + doing_; }
  // The bar is drawn on a terminal alone, and only where all figures fit beside it.
  if (width == 0 || static_cast<int>(text.size() + bar.size() + rest.size()) > width) { bar.clear(); }
  text += bar + rest;
  if (width > 0 && static_cast<int>(text.size()) > width) { text.resize(width); }
  return text;
}

void Progress::print(bool last) {
  printed_ = Clock::now();
  const double took = seconds();
  const double of_all = took > 0 ? static_cast<double>(done_ - first_) / took : 0;
  const double rate = last ? of_all : rate_.rate();
  if (terminal_) {
    const std::string text = line(done_, rate, fields_, terminal_width(stream_) - 1, last ? took : -1);
    std::fprintf(stream_, "\r%s\033[K%s", text.c_str(), last ? "\n" : "");
  } else {
    std::fprintf(stream_, "%s\n", line(done_, rate, fields_, 0, last ? took : -1).c_str());
  }
  std::fflush(stream_);
}

void Progress::finish() {
  if (finished_) { return; }
  finished_ = true;
  if (begun_) { print(true); }
}

void Progress::message(const std::string& text) {
  std::fprintf(stream_, terminal_ ? "\r%s\033[K\n" : "%s\n", text.c_str());
  if (terminal_ && begun_ && !finished_) { print(false); }
  std::fflush(stream_);
}

}  // namespace terrace
