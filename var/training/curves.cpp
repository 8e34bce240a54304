#include "var/training/curves.h"

#include <map>
#include <sstream>

#include "data/files/atomic_file.h"
#include "data/files/json.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

using Values = std::vector<double>;

template <class Record>
bool is_vector(const RecordColumn<Record>& column) {
  return std::holds_alternative<Values Record::*>(column.member);
}

/// The header of a CSV: the numbers of the table, then a column a scale of each vector.
template <class Record>
std::string csv_header(size_t scales) {
  std::string numbers, vectors;
  for (const RecordColumn<Record>& column : record_columns<Record>()) {
    if (column.csv == nullptr) { continue; }
    if (!is_vector(column)) {
      numbers += cat(numbers.empty() ? "" : ",", column.csv);
      continue;
    }
    for (size_t s = 0; s < scales; ++s) { vectors += cat(",", column.csv, s); }
  }
  return numbers + vectors;
}

/// The row under csv_header(). Fields are empty where `measured(column)` says no, and beyond a vector's end.
template <class Record, class F>
std::string csv_row(const Record& record, size_t scales, int digits, const F& measured) {
  std::string numbers, vectors;
  for (const RecordColumn<Record>& column : record_columns<Record>()) {
    if (column.csv == nullptr) { continue; }
    const auto append = [&]<class T>(T Record::*member) {
      if constexpr (std::is_same_v<T, Values>) {
        const Values& values = record.*member;
        for (size_t s = 0; s < scales; ++s) {
          vectors += "," + (s < values.size() ? csv_number(values[s], digits) : "");
        }
      } else {
        if (&column != &record_columns<Record>().front()) { numbers += ","; }
        if (measured(column)) { numbers += csv_number(record.*member, digits); }
      }
    };
    std::visit(append, column.member);
  }
  return numbers + vectors;
}

/// Whether a record has what a column is for.
bool is_measured(const VarStepRecord& record, const RecordColumn<VarStepRecord>& column) {
  if (column.measured == Measured::kHeldOut) { return record.held_out_loss >= 0; }
  if (column.measured == Measured::kAlways) { return true; }
  const auto positive = [&]<class T>(T VarStepRecord::*member) {
    if constexpr (std::is_same_v<T, Values>) {
      return !(record.*member).empty();
    } else {
      return record.*member > 0;
    }
  };
  return std::visit(positive, column.member);
}

constexpr int kVarDigits = 7, kVqvaeDigits = 6;

}  // namespace

std::string csv_number(int64_t value, int) { return std::to_string(value); }

std::string csv_number(double value, int digits) {
  std::ostringstream out;
  out.precision(digits);
  out << value;
  return out.str();
}

std::string curves_csv_header(int64_t scales) { return csv_header<VarStepRecord>(static_cast<size_t>(scales)); }

std::string curves_csv_row(const VarStepRecord& record, int64_t scales) {
  return csv_row(record, static_cast<size_t>(scales), kVarDigits,
                 [&](const RecordColumn<VarStepRecord>& column) { return is_measured(record, column); });
}

std::string curves_csv(const std::vector<VqvaeStepRecord>& log) {
  const size_t scales = log.empty() ? 0 : log[0].usage.size();
  std::string text = csv_header<VqvaeStepRecord>(scales) + "\n";
  for (const VqvaeStepRecord& record : log) {
    text += csv_row(record, scales, kVqvaeDigits, [](const auto&) { return true; }) + "\n";
  }
  return text;
}

std::string curves_json(const VarStepRecord& record) {
  Json j;
  for (const Measured measured : {Measured::kAlways, Measured::kTime, Measured::kHeldOut}) {
    for (const RecordColumn<VarStepRecord>& column : record_columns<VarStepRecord>()) {
      if (column.measured != measured || !is_measured(record, column)) { continue; }
      std::visit([&](auto member) { j[column.name] = record.*member; }, column.member);
    }
  }
  return json_text(j);
}

void restore_times(std::vector<VarStepRecord>& log, const std::string& lines) {
  std::istringstream in(lines);
  std::map<int64_t, SortedJson> by_step;
  for (std::string line; std::getline(in, line);) {
    SortedJson j = parse_json_if_valid<SortedJson>(line);
    if (j.is_object() && j.contains("step") && j["step"].is_number_integer()) {
      by_step.emplace(j["step"].get<int64_t>(), j);
    }
  }
  for (VarStepRecord& record : log) {
    const auto found = by_step.find(record.step);
    if (found == by_step.end() || record.seconds_per_step > 0) { continue; }
    for (const RecordColumn<VarStepRecord>& column : record_columns<VarStepRecord>()) {
      if (column.measured != Measured::kTime) { continue; }
      const SortedJson value = found->second.value(column.name, SortedJson());
      const auto restore = [&]<class T>(T VarStepRecord::*member) {
        const bool fits = std::is_same_v<T, double> ? value.is_number() : value.is_number_integer();
        if (fits) { value.get_to(record.*member); }
      };
      std::visit(restore, column.member);
    }
  }
}

CurveFiles::CurveFiles(const std::string& folder, int64_t scales)
    : folder_(folder), scales_(scales), csv_(curves_csv_header(scales) + "\n") {}

void CurveFiles::add(const VarStepRecord& record) {
  csv_ += curves_csv_row(record, scales_) + "\n";
  jsonl_ += curves_json(record) + "\n";
}

void CurveFiles::publish_sometimes() {
  if (Clock::now() - published_ > std::chrono::seconds(3)) { publish(); }
}

void CurveFiles::publish() {
  write_file(folder_ + "/curves.csv", csv_);
  write_file(folder_ + "/curves.jsonl", jsonl_);
  published_ = Clock::now();
}

}  // namespace terrace
