#include "nn/schedule.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include "tensor/base/error.h"

namespace terrace {
namespace {

constexpr double kFlatLin = 0.15, kFlatLin0 = 0.05;

double half_cosine(double x) { return 0.5 + 0.5 * std::cos(std::numbers::pi * x); }

/// The X of "linX", or -1 for a name that is not of that form.
double bend_of(const std::string& kind) {
  if (!kind.starts_with("lin")) { return -1; }
  const std::string digits = kind.substr(3);
  double bend = 0;
  const auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bend);
  const bool whole = error == std::errc() && rest == digits.data() + digits.size();
  return whole && bend > 0 && bend < 1 ? bend : -1;
}

bool known(const std::string& kind) {
  for (const char* name : {"cos", "exp", "lin", "lin0", "lin00"}) {
    if (kind == name) { return true; }
  }
  return bend_of(kind) > 0;
}

}  // namespace

Schedule::Schedule(ScheduleOptions options) : options_(std::move(options)) {
  const ScheduleOptions& o = options_;
  if (!known(o.kind)) {
    throw ConfigError(
        cat("schedule: unknown kind \"", o.kind, "\"; choose cos, exp, lin, lin0, lin00 or linX with 0 < X < 1"));
  }
  if (o.iterations < 1 || o.warmup < 0) {
    throw ConfigError(cat("schedule: needs iterations >= 1 and warmup >= 0, got ", o.iterations, " and ", o.warmup));
  }
  if (!(o.end_factor > 0) && o.kind == "exp") {
    throw ConfigError(cat("schedule: exp needs an end factor above 0, got ", o.end_factor));
  }
}

double Schedule::decay(double x) const {
  const double e = options_.end_factor, rest = 1 - x;
  const std::string& kind = options_.kind;
  if (kind == "cos") { return e + (1 - e) * half_cosine(x); }
  if (kind == "exp") { return x < kFlatLin ? 1 : std::exp((x - kFlatLin) / (1 - kFlatLin) * std::log(e)); }
  if (const double bend = bend_of(kind); bend > 0) {
    const double level = (1 + e + (1 - e) * (1 - bend)) / 2;
    return x < bend ? 1 + (level - 1) * x / bend : e + (level - e) * rest / (1 - bend);
  }
  const double flat = kind == "lin" ? kFlatLin : kind == "lin0" ? kFlatLin0 : 0;
  return x < flat ? 1 : e + (1 - e) * rest / (1 - flat);
}

double Schedule::lr(int64_t it) const {
  const ScheduleOptions& o = options_;
  if (it < o.warmup) {
    const double share = static_cast<double>(it) / static_cast<double>(o.warmup);
    return o.peak_lr * (o.start_factor + (1 - o.start_factor) * share);
  }
  const int64_t span = o.iterations - 1 - o.warmup;
  const double x = span > 0 ? std::min(1.0, static_cast<double>(it - o.warmup) / static_cast<double>(span)) : 1;
  return o.peak_lr * decay(x);
}

double Schedule::wd(int64_t it) const {
  const ScheduleOptions& o = options_;
  const double x =
      o.iterations > 1 ? std::min(1.0, static_cast<double>(it) / static_cast<double>(o.iterations - 1)) : 1;
  return o.weight_decay_end + (o.weight_decay - o.weight_decay_end) * half_cosine(x);
}

}  // namespace terrace
