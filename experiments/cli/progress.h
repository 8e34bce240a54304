// One line that tells how far a loop is: rewritten in place on a terminal, plain lines at intervals elsewhere.
//
//   Progress progress("train", steps, "steps");
//   for (int64_t i = 0; i < steps; ++i) {
//     ...
//     progress.update(i + 1, {{"loss", loss}, {"lr", lr}});
//   }
//   progress.finish();
//
// prints   train  [#######.............]  35%  350/1000 steps  12.4 steps/s  ETA 0:52  loss 4.213  lr 1e-3
//
// The rate is that of the last half minute, and so is the time that it lets expect; finish() prints the rate and the
// time of all.
//
// Where one unit takes long, doing("scale 7 of 10 (8x8)") says at the end of the line how far the next one is.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace terrace {

enum class LineStyle : uint8_t { kAuto, kTerminal, kPlain };

/// Units per second over the last half minute.
class RecentRate {
 public:
  /// `done` units at `seconds` since any moment; both never fall.
  void add(double seconds, int64_t done);
  double rate() const;  // 0 where nothing was done

 private:
  std::deque<std::pair<double, int64_t>> marks_;  // the oldest is the last from before the half minute
};

class Progress {
 public:
  using Fields = std::vector<std::pair<std::string, double>>;

  /// `total` 0: unknown length, no ETA. Writes to `stream` (stderr); kAuto asks isatty.
  Progress(std::string label, int64_t total, std::string unit = "steps", std::FILE* stream = stderr,
           LineStyle style = LineStyle::kAuto);
  ~Progress();  // ends an unfinished line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// The loop begins now with this many units done; without it, where the Progress is made, with none.
  void start(int64_t done);
  /// The units of the whole, where their number changes while the loop runs.
  void set_total(int64_t total) { total_ = total; }

  /// Cheap: prints at most ten times a second on a terminal, every `plain interval` (5 s, then growing) elsewhere.
  void update(int64_t done, const Fields& fields = {});

  /// What is being done for the next units, shown until the next update(). As cheap.
  void doing(const std::string& what);

  /// Prints the last state, with the rate and the time of all, and ends the line. Idempotent.
  void finish();

  /// Prints a line of text without breaking the progress line.
  void message(const std::string& text);

  /// The line for a state, at most `width` columns (0: no limit); what update() prints. With the seconds that all took,
  /// these in place of those that are expected.
  std::string line(int64_t done, double rate, const Fields& fields, int width, double took = -1) const;

 private:
  using Clock = std::chrono::steady_clock;
  double seconds() const;
  void print_sometimes();
  void print(bool last);

  std::string label_, unit_, doing_;
  int64_t total_ = 0, done_ = 0, first_ = 0;
  Fields fields_;
  std::FILE* stream_;
  bool terminal_ = false, begun_ = false, finished_ = false;
  Clock::time_point start_, printed_;
  double interval_ = 5.0;
  RecentRate rate_;
};

/// "0:42", "12:03", "3:04:05"; "--:--" for what is not finite.
std::string format_duration(double seconds);
/// "1.5 GiB", "640 KiB".
std::string format_bytes(double bytes);
/// Four significant digits, shortest form: 0.001234 -> "0.001234", 12345 -> "12345", 1e-7 -> "1e-07".
std::string format_number(double value);

}  // namespace terrace
